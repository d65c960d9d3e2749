"""The properties of docker-compose.yml, read from the file."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from jobs.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES = yaml.safe_load(TEXT)["services"]
WORKERS = [name for name in SERVICES if name.startswith("worker")]
OURS = ["migrate", "api", *WORKERS]
INTERPOLATED = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
"""Matches a variable. The groups are its name, `-` if it has a default or `?` if it is required,
and the default or the error message."""


def variables() -> dict[str, tuple[str, str]]:
    return {name: (kind, text) for name, kind, text in INTERPOLATED.findall(TEXT)}


def test_the_api_is_published_on_loopback_alone_unless_a_setting_says_otherwise():
    assert SERVICES["api"]["ports"] == ["${BABYLM_HOST:-127.0.0.1}:${BABYLM_PORT:-8000}:8000"]
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]


def test_the_api_listens_on_all_addresses_of_its_container_and_must_be_given_a_key():
    environment = SERVICES["api"]["environment"]
    assert (environment["BABYLM_HOST"], environment["BABYLM_PORT"]) == ("0.0.0.0", 8000)
    assert variables()["BABYLM_API_KEY"][0] == "?"
    without = [
        name for name in SERVICES if "BABYLM_API_KEY" in SERVICES[name].get("environment", {})
    ]
    assert without == ["api"], "no other service needs the key"


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_only_the_privileges_that_it_needs(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert "privileged" not in service
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_gets_time_to_write_a_checkpoint(name):
    grace = SERVICES[name]["stop_grace_period"]
    assert grace.endswith("s")
    kind, shutdown = variables()["BABYLM_SHUTDOWN_GRACE_SECONDS"]
    assert kind == "-"
    assert float(shutdown) + 5 <= float(grace[:-1]), "Docker must kill later than the worker"


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_cannot_change_the_corpora(name):
    by_target = {v["target"]: v for v in SERVICES[name]["volumes"] if isinstance(v, dict)}
    assert by_target["/data"]["read_only"] is True


def test_migrations_run_once_and_before_everything_that_reads_the_database():
    assert SERVICES["migrate"]["restart"] == "no"
    for name in ("api", *WORKERS):
        depends = SERVICES[name]["depends_on"]
        assert depends["migrate"] == {"condition": "service_completed_successfully"}
        assert depends["redis"] == {"condition": "service_healthy"}
        assert SERVICES[name]["restart"] == "unless-stopped"


def test_redis_persists_its_queue_and_does_not_evict():
    command = SERVICES["redis"]["command"]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]


def test_one_train_worker_has_the_gpus_and_another_one_needs_none():
    devices = SERVICES["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert SERVICES["worker"]["profiles"] == ["gpu"]
    assert SERVICES["worker-cpu"]["profiles"] == ["cpu"]
    assert "deploy" not in SERVICES["worker-cpu"]
    assert "profiles" not in SERVICES["worker-short"]
    assert SERVICES["worker-short"]["command"] == ["worker", "--queue", "short"]


@pytest.mark.parametrize("name", OURS)
def test_every_setting_reaches_every_process(name):
    prefix = Settings.model_config["env_prefix"]
    settings = {f"{prefix}{field}".upper() for field in Settings.model_fields}
    for_the_api = {"BABYLM_HOST", "BABYLM_PORT", "BABYLM_API_KEY"}
    # A container has no Slurm commands: the provisioner runs on a submit host.
    settings -= {each for each in settings if each.startswith("BABYLM_SLURM_")}
    settings -= {"BABYLM_SOCKET"}  # compose publishes a port
    expected = settings if name == "api" else settings - for_the_api
    assert set(SERVICES[name]["environment"]) == expected


@pytest.mark.parametrize("name", OURS)
def test_an_empty_setting_is_unset(name, monkeypatch, tmp_path):
    # The environment of a container if `.env` has only a key.
    monkeypatch.chdir(tmp_path)
    for variable, value in SERVICES[name]["environment"].items():
        plain = INTERPOLATED.sub(lambda m: m[3] if m[2] == "-" else "key", str(value))
        monkeypatch.setenv(variable, plain)
    settings = Settings()
    assert settings.database_url == "sqlite:////runs/babylm.sqlite3"
    assert settings.redis_url == "redis://redis:6379/0"
    assert settings.lease_seconds == Settings.model_fields["lease_seconds"].default
    assert settings.num_slots is None


@pytest.mark.parametrize("name", OURS)
def test_services_of_one_image_have_the_same_build(name):
    target = "worker" if name.startswith("worker") else "api"
    service = SERVICES[name]
    assert service["build"]["target"] == target
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert service["image"] == f"babylm-{target}:${{BABYLM_VERSION:-{version}}}"
    assert service["build"]["args"]["UID"] == "${BABYLM_UID:-1000}"
