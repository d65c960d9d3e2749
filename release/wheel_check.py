"""Installs a wheel into a fresh environment, away from the clone, and trains with it.

python -m release.wheel_check FOLDER
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from release.checklist import ROOT, version

TORCH = "torch==2.13.0"
READY_SECONDS = 120


def main(folder: Path) -> None:
    """Checks the wheel of the current version in `folder`.

    Raises:
        subprocess.CalledProcessError: If a command fails.
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    service = subprocess.Popen([babylm, "serve", "--port", str(port)], cwd=work)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and service.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        spec = ["--preset", "sample", "--set", "training.max_steps=20"]
        _call([babylm, "submit", *spec, "--follow", "--url", url], work)
    finally:
        service.send_signal(signal.SIGINT)
        service.wait()


def _call(command: list[str], work: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(command, cwd=work, env=environment, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
