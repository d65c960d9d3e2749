"""`babylm demo` in a folder that shadows modules: it finishes, and signals end it at any time."""

import os
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.shadows import Shadows
from tests.waiting import DEADLINE, is_alive, wait_for

pytestmark = pytest.mark.system
BABYLM = Path(sysconfig.get_path("scripts")) / "babylm"


def hang_up_ends() -> None:
    """Makes SIGHUP end the process again, even if `nohup`, which ignores SIGHUP, runs the tests."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Demo:
    def __init__(self, folder: Path) -> None:
        self.shadows = Shadows(folder / "shadows")
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [BABYLM, "demo", "--folder", str(folder / "demo")],
                cwd=self.shadows.folder,
                # A proxy that refuses connections, so a request that uses it fails.
                env=os.environ | {"http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "socks5://x:1"},
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=hang_up_ends,
            )
        self.seen: set[psutil.Process] = set()

    def text(self) -> str:
        return self.output.read_text()

    def is_training(self) -> bool:
        assert self.process.poll() is None, self.text()
        for process in psutil.Process(self.process.pid).children(recursive=True):
            self.seen.add(process)
            try:
                if "core.run" in process.cmdline():
                    return True
            except psutil.NoSuchProcess:
                continue
        return False

    def left(self) -> list[psutil.Process]:
        return [process for process in self.seen if is_alive(process)]


@pytest.fixture
def demo(tmp_path) -> Iterator[Demo]:
    started = Demo(tmp_path)
    yield started
    started.process.kill()
    started.process.wait()
    for process in started.left():
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_ends_the_service_of_the_demo_too(demo, number):
    wait_for(demo.is_training, what=lambda: f"training; {demo.text()}")
    demo.process.send_signal(number)
    status = 128 + number if number != signal.SIGKILL else -number
    assert demo.process.wait(DEADLINE) == status, demo.text()
    wait_for(lambda: not demo.left(), what=lambda: f"all gone but {demo.left()}")
    assert demo.shadows.imported() == []


@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    "BABYLM_TRY_DEMO" not in os.environ, reason="takes minutes; needs BABYLM_TRY_DEMO=1"
)
def test_the_demo_runs_to_its_end(demo):
    assert demo.process.wait(3500) == 0, demo.text()
    assert "checkpoint " in demo.text()
    assert demo.shadows.imported() == []
