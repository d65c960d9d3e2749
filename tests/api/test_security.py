import pytest
from pydantic import SecretStr

from api.app import create_app
from api.main import MIN_KEY_LENGTH, refuse_settings
from api.security import UPLOAD
from jobs.settings import Settings
from jobs.short_tasks import short_task_of_dataset
from tests.api.conftest import local_client
from tests.api.raw import RawClient
from tests.api.routes import PAGES, filled, routes

OPEN = {"/healthz", "/readyz", "/", "/docs"}
"""Paths that need no key: health and the pages that ask for the key."""


KEYS = ("first-key-0123456789", "second-key-0123456789")


def with_keys(settings: Settings, text: str) -> Settings:
    return settings.model_copy(update={"api_key": SecretStr(text)})


@pytest.fixture
def locked(settings):
    """A client of an app that requires a key."""
    app = create_app(with_keys(settings, ", ".join(KEYS)))
    with local_client(app, raise_server_exceptions=False):
        yield RawClient(app)


@pytest.mark.parametrize("route", routes(), ids=str)
def test_each_route_wants_the_key(locked, route):
    path = filled(route.path, job_id="0" * 32)
    answer = locked.send(route.method, path)
    if path in OPEN:
        assert answer.status in (200, 503)
        return
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "key_missing"


@pytest.mark.parametrize("route", routes(), ids=str)
def test_routes_that_receive_a_file_have_the_limits_of_uploads(route):
    assert route.takes_file == (
        route.method == "POST" and UPLOAD.fullmatch(filled(route.path, job_id="0" * 32)) is not None
    )


@pytest.mark.parametrize("path", [path for path in PAGES if path not in OPEN])
def test_pages_that_describe_the_service_want_the_key(locked, path):
    assert locked.send("GET", path).status == 401


@pytest.mark.parametrize(
    "header",
    ["Bearer wrong", "Bearer", f"Basic {KEYS[0]}", KEYS[0], f"Bearer {KEYS[0]},{KEYS[1]}"],
)
def test_a_wrong_key_is_no_key(locked, header):
    assert locked.send("GET", "/v1/jobs", authorization=header).status == 401


@pytest.mark.parametrize("key", KEYS)
def test_each_of_several_keys_opens(locked, key):
    assert locked.send("GET", "/v1/jobs", authorization=f"Bearer {key}").status == 200


@pytest.mark.parametrize("path", ["/", "/v1/jobs", "/v1/nothing", "/healthz"])
def test_responses_have_security_headers(client, path):
    headers = client.get(path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.nip.io", "testserver"]
)
def test_a_name_that_was_made_to_point_here_is_refused(raw, host):
    answer = raw.send("GET", "/v1/jobs", host=host)
    assert answer.status == 400
    assert answer.json()["code"] == "host_unknown"


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_the_names_of_this_machine_are_known(raw, host):
    assert raw.send("GET", "/v1/jobs", host=host).status == 200


def test_a_page_of_another_site_cannot_write(raw):
    answer = raw.send("POST", "/v1/jobs", b'{"preset": "sample"}', sec_fetch_site="cross-site")
    assert answer.status == 403
    allowed = raw.send("POST", "/v1/jobs/estimate", b'{"preset": "sample"}')
    assert allowed.status != 403


def test_no_other_origin_is_let_in(raw):
    answer = raw.send(
        "OPTIONS",
        "/v1/jobs",
        origin="https://evil.example",
        access_control_request_method="POST",
    )
    assert answer.status == 405
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_an_open_address_without_a_key_is_refused_at_start(host, capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        refuse_settings(Settings(_env_file=None, host=host, runs_dir=tmp_path))
    assert ended.value.code == 2
    assert "BABYLM_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_key(host, tmp_path):
    refuse_settings(Settings(_env_file=None, host=host, runs_dir=tmp_path))


@pytest.mark.parametrize(
    "key",
    [
        *(
            "short",
            "x" * (MIN_KEY_LENGTH - 1),
            "a key with spaces 0123",
            "umlaut-\u00e4-0123456789",
        ),
        *("line\nbreak-0123456789", "tab\t0123456789012345", f"{KEYS[0]},short"),
    ],
)
def test_a_key_that_can_be_guessed_or_not_be_sent_is_refused_at_start(key, capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        refuse_settings(with_keys(Settings(_env_file=None, runs_dir=tmp_path), key))
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "BABYLM_API_KEY" in message
    assert "openssl rand" in message
    assert key not in message


def test_a_good_key_starts(tmp_path):
    settings = Settings(_env_file=None, runs_dir=tmp_path, host="0.0.0.0")
    refuse_settings(with_keys(settings, f"{'k' * MIN_KEY_LENGTH},{KEYS[1]}"))


@pytest.mark.parametrize("peer", ["192.0.2.7", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.7"])
def test_without_a_key_only_this_machine_is_answered(raw, app, locked, peer):
    refused = raw.send("GET", "/v1/jobs", peer=peer)
    assert (refused.status, refused.json()["code"]) == (403, "key_not_set")
    header = f"Bearer {KEYS[0]}"
    assert locked.send("GET", "/v1/jobs", peer=peer, authorization=header).status == 200


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", None])
def test_this_machine_and_a_unix_socket_are_answered(raw, peer):
    assert raw.send("GET", "/v1/jobs", peer=peer).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_of_another_site_cannot_start_cleaning(raw, world, method):
    answer = raw.send(method, "/v1/datasets/words", sec_fetch_site="cross-site")
    assert answer.status == 403
    with world.database.read() as session:
        assert short_task_of_dataset(session, "words") is None
    assert raw.send("GET", "/v1/datasets/words", sec_fetch_site="same-origin").status == 200


def test_names_are_stored_as_they_are_and_harm_nothing(client):
    from tests.api.conftest import SPEC

    for name in (
        "<img src=x onerror=alert(1)>",
        "'; DROP TABLE job; --",
        "\N{PILE OF POO} {{7*7}}",
    ):
        answer = client.post("/v1/jobs", json=SPEC | {"name": name})
        assert answer.status_code == 201
        assert client.get(f"/v1/jobs/{answer.json()['id']}").json()["name"] == name
    assert len(client.get("/v1/jobs").json()["data"]) == 3


def test_health_reports_each_part(client, world):
    assert client.get("/healthz").json() == {"status": "ok"}
    alone = client.get("/readyz")
    assert alone.status_code == 503
    assert alone.json()["checks"] == {
        "database": "ok",
        "broker": "polling",
        "worker": "none alive",
    }
    world.worker("train")
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")


def test_counts_for_prometheus(client, world):
    world.running()
    world.job()
    text = client.get("/metrics").text
    assert 'babylm_jobs{status="running"} 1.0' in text
    assert 'babylm_jobs{status="queued"} 1.0' in text
