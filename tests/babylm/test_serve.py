"""`serve` with small test programs: real processes, real Redis, real signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from babylm.errors import CommandError
from babylm.serve import free_port
from tests.babylm import programs
from tests.waiting import DEADLINE, is_alive, wait_for

pytestmark = pytest.mark.system
ROOT = Path(__file__).resolve().parents[2]


class Serving:
    """A `serve` in its own process."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.output = (folder / "output").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, programs.__file__, "serve", str(folder), *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
        )
        self.seen: list[psutil.Process] = []

    @property
    def text(self) -> str:
        return (self.folder / "output").read_text()

    def url(self) -> str:
        def read() -> str | None:
            assert self.process.poll() is None, self.text
            try:
                entry = json.loads((self.folder / "runs" / "service.json").read_text())
            except (FileNotFoundError, ValueError):
                return None
            return entry["url"] if entry["pid"] == self.process.pid else None

        url = wait_for(read, what=f"service.json; {self.text}")
        wait_for(lambda: "WARNING started" in self.text, what="grandchild")
        self.seen = psutil.Process(self.process.pid).children(recursive=True)
        return str(url)

    def named(self, word: str) -> psutil.Process:
        def found() -> psutil.Process | None:
            for process in psutil.Process(self.process.pid).children(recursive=True):
                try:
                    if any(word in part for part in process.cmdline()):
                        return process
                except psutil.NoSuchProcess:
                    continue
            return None

        return wait_for(found, what=word)

    def left(self) -> list[psutil.Process]:
        return [process for process in self.seen if is_alive(process)]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    started: list[Serving] = []

    def start(*words: str) -> Serving:
        started.append(Serving(tmp_path, *words))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()
        each.output.close()
        for process in each.left():
            process.kill()


def healthz(url: str) -> str:
    with urllib.request.urlopen(f"{url}/healthz", timeout=DEADLINE) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_that_was_started(serving, number, tmp_path):
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    one = serving()
    url = one.url()
    assert healthz(url).startswith("redis+socket:///")
    assert "dashboard: http://127.0.0.1:" in one.text
    assert len(one.seen) == 7  # redis, api and worker, a guard of each, the worker's child
    one.process.send_signal(number)
    assert one.process.wait(DEADLINE) == 0
    assert one.left() == []
    assert not (tmp_path / "runs" / "service.json").exists()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace_period(serving):
    # Takes the whole grace period, which is what this test checks.
    one = serving("--stubborn")
    one.url()
    one.process.terminate()
    asked = time.monotonic()
    assert one.process.wait(DEADLINE) == 0
    assert time.monotonic() - asked > 6
    assert one.left() == []


def test_a_second_signal_skips_the_grace_period(serving):
    one = serving("--stubborn", "--patient")  # its grace period is longer than DEADLINE
    one.url()
    one.process.terminate()
    wait_for(lambda: "stopping" in one.text, what="stopping")
    one.process.terminate()
    assert one.process.wait(DEADLINE) == 0
    wait_for(lambda: not one.left(), what=f"left: {one.left()}")


def test_sigkill_of_serve_leaves_no_process(serving):
    one = serving()
    one.url()
    one.process.kill()
    one.process.wait()
    wait_for(lambda: not one.left(), what=f"all gone but {one.left()}")


def test_after_a_sigkill_the_next_serve_starts_even_while_the_last_is_dying(serving):
    one = serving("--stubborn")
    one.url()
    one.process.kill()
    one.process.wait()
    two = serving()
    url = two.url()
    assert healthz(url)
    assert "waiting for" in two.text
    assert one.left() == []


def test_a_redis_whose_guard_was_killed_too_is_recognised(serving, tmp_path):
    one = serving()
    one.url()
    redis = one.named("r.sock")
    guard = redis.parent()
    assert guard is not None
    os.kill(one.process.pid, signal.SIGSTOP)  # stopped, so it starts no new guard
    guard.kill()
    one.process.kill()
    one.process.wait()
    wait_for(lambda: one.left() == [redis], what="only redis left")
    two = serving()
    two.url()
    assert f"process {redis.pid}) that an earlier serve left behind" in two.text
    assert redis not in one.left()


def test_a_second_serve_on_the_same_folder_is_refused_by_name(serving):
    one = serving()
    url = one.url()
    two = serving()
    assert two.process.wait(DEADLINE) == 1
    assert f"process id {one.process.pid} already serves" in two.text
    assert url in two.text.split("already serves")[1]
    assert healthz(url)


@pytest.mark.parametrize("which", ["api", "r.sock", "worker"])
def test_a_part_that_dies_is_started_again(serving, which):
    one = serving()
    url = one.url()
    victim = one.named(which)
    victim.kill()
    wait_for(lambda: "starting it again" in one.text, what=one.text)
    again = one.named(which)
    assert again.pid != victim.pid
    wait_for(lambda: _answers(url), what="healthz")


def _answers(url: str) -> bool:
    try:
        return bool(healthz(url))
    except OSError:
        return False


def test_without_a_redis_binary_the_workers_poll(serving):
    one = serving("--no-broker")
    assert healthz(one.url()) == "none"
    assert "workers poll the database" in one.text
    assert len(one.seen) == 5


def test_an_api_that_does_not_start_is_reported_with_the_end_of_its_log(serving, tmp_path):
    one = serving("--broken", "--no-broker")
    assert one.process.wait(DEADLINE) == 1
    assert "the API does not start" in one.text
    assert "the key is missing" in one.text


def test_a_port_that_is_taken_is_reported():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"port {port}") as raised:
            free_port("127.0.0.1", port)
    assert "--port 0" in str(raised.value.hint)
    assert free_port("127.0.0.1", port) == port
    assert free_port("127.0.0.1", 0) > 0
