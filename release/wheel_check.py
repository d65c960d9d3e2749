"""Installs a wheel into a fresh environment, outside of the clone, and trains with it.

python -m release.wheel_check FOLDER
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from babylm.client.discovery import running_service
from release.checklist import ROOT, version

TORCH = "torch==2.13.0"
READY_SECONDS = 120


def main(folder: Path) -> None:
    """Checks the wheel of the current version in `folder`.

    Raises:
        subprocess.CalledProcessError: If a command fails.
        RuntimeError: If the service does not start.
    """
    (wheel,) = folder.resolve().glob(f"babylm_service-{version(ROOT)}-*.whl")
    with tempfile.TemporaryDirectory(prefix="babylm-wheel-") as work:
        _call([sys.executable, "-m", "venv", "venv"], work)
        pip = [f"{work}/venv/bin/python", "-m", "pip", "install", "-q"]
        pip += ["-c", str(ROOT / "constraints.txt")]
        _call([*pip, TORCH], work)
        _call([*pip, f"{wheel}[train,embedded]"], work)
        babylm = f"{work}/venv/bin/babylm"
        _call([babylm, "--version"], work)
        _call([babylm, "doctor"], work)
        _train(babylm, work)


def _train(babylm: str, work: str) -> None:
    service = subprocess.Popen([babylm, "serve", "--port", "0"], cwd=work, env=environment())
    try:
        url = _await_service(service, Path(work) / "runs")
        spec = ["--preset", "sample", "--set", "training.max_steps=20"]
        _call([babylm, "submit", *spec, "--follow", "--url", url], work)
    finally:
        service.send_signal(signal.SIGINT)
        service.wait()


def _await_service(service: "subprocess.Popen[bytes]", runs_dir: Path) -> str:
    """Waits until the service answers; returns its address."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and service.poll() is None:
        url = running_service(runs_dir)
        if url is not None:
            return url
        time.sleep(0.5)
    raise RuntimeError(f"`babylm serve` of the wheel does not answer; see {runs_dir / 'logs'}")


def environment() -> dict[str, str]:
    """The environment without variables that refer to this clone or configure the service."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH" and not name.startswith("BABYLM_")
    }


def _call(command: list[str], work: str) -> None:
    subprocess.run(command, cwd=work, env=environment(), check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
