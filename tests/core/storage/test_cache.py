"""Stage results: built once per fingerprint, which covers all inputs."""

import os
import subprocess
import sys
from threading import Event, Thread

import pytest

from core.errors import Stopped
from core.storage.cache import Cache, fingerprint
from core.storage.file_hashes import hash_file
from core.storage.rundir import publish_folder
from tests.waiting import DEADLINE


def test_a_result_is_built_once(tmp_path):
    cache, built = Cache(tmp_path), []

    def build(folder):
        built.append(folder)
        (folder / "result").write_text("text")

    first = cache.get("clean", "abc", build)
    second = cache.get("clean", "abc", build)
    assert (first.cached, second.cached, len(built)) == (False, True, 1)
    assert (second.path / "result").read_text() == "text"


def test_a_build_that_fails_leaves_nothing(tmp_path):
    cache = Cache(tmp_path)

    def broken(folder):
        (folder / "half").write_text("")
        raise RuntimeError("died")

    with pytest.raises(RuntimeError):
        cache.get("clean", "abc", broken)
    assert list((tmp_path / "clean").iterdir()) == []


def test_a_stopped_or_killed_build_is_continued(tmp_path):
    program = (
        "import sys, pathlib; from core.storage.cache import Cache\n"
        "def build(folder):\n"
        "    (folder / 'half').write_text(sys.argv[2]); print('there', flush=True)\n"
        "    sys.stdin.read()\n"
        "Cache(pathlib.Path(sys.argv[1])).get('tokenize', sys.argv[3], build, resume=True)"
    )

    def start(said, key):
        builder = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), said, key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert builder.stdout.readline() == b"there\n"
        return builder

    found = []

    def stopped(folder):
        found.append({path.name: path.read_text() for path in folder.iterdir()})
        (folder / "half").write_text("stopped")
        raise Stopped

    def whole(folder):
        found.append({path.name: path.read_text() for path in folder.iterdir()})

    cache = Cache(tmp_path)
    with start("killed", "abc") as killed, start("alive", "lively") as alive:
        killed.kill()
        killed.wait()
        with pytest.raises(Stopped):
            cache.get("tokenize", "abc", stopped, resume=True)
        cache.get("tokenize", "another", whole, resume=True)
        entry = cache.get("tokenize", "abc", whole, resume=True)
        assert found == [{"half": "killed"}, {}, {"half": "stopped"}]
        alive.stdin.close()
        assert alive.wait() == 0
    assert (entry.path / "half").read_text() == "stopped"
    assert {path.name for path in entry.path.parent.iterdir()} == {*("abc", "another", "lively")}
    assert list((tmp_path / ".locks").iterdir()) == []


def test_two_runs_that_start_at_once_build_a_result_once(tmp_path):
    building, go = Event(), Event()
    built = []

    def build(folder):
        built.append(folder)
        building.set()
        assert go.wait(DEADLINE)
        (folder / "result").write_text("text")

    found = []
    threads = [
        Thread(target=lambda: found.append(Cache(tmp_path).get("clean", "abc", build)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    assert building.wait(DEADLINE)
    # This thread waits for the build of another thread, and lets it finish.
    entry = Cache(tmp_path).get("clean", "abc", build, waiting=go.set)
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert entry.cached
    assert sorted(each.cached for each in found) == [False, True, True, True]
    assert list((tmp_path / ".locks").iterdir()) == []


def test_a_run_that_waits_continues_the_build_of_a_killed_one_or_gives_up(tmp_path):
    program = (
        "import sys, pathlib; from core.storage.cache import Cache\n"
        "def build(folder):\n"
        "    (folder / 'half').write_text('killed'); print('there', flush=True)\n"
        "    sys.stdin.read()\n"
        "Cache(pathlib.Path(sys.argv[1])).get('tokenize', 'abc', build, resume=True)"
    )
    builder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    found = []

    def give_up():
        raise Stopped

    def continued(folder):
        found.append((folder / "half").read_text())

    with builder:
        assert builder.stdout.readline() == b"there\n"
        cache = Cache(tmp_path)
        with pytest.raises(Stopped):
            cache.get("tokenize", "abc", continued, resume=True, waiting=give_up)
        entry = cache.get("tokenize", "abc", continued, resume=True, waiting=builder.kill)
    assert (entry.cached, found) == (False, ["killed"])


def test_the_fingerprint_changes_with_everything_that_decides_the_result(tmp_path):
    file = tmp_path / "text"
    file.write_text("one")
    base = {"version": 1, "parameters": {"a": 1}, "inputs": [hash_file(file)]}
    file.write_text("two")
    variants = [
        fingerprint("clean", **base),
        fingerprint("tokenize", **base),
        fingerprint("clean", **base | {"version": 2}),
        fingerprint("clean", **base | {"parameters": {"a": 2}}),
        fingerprint("clean", **base | {"inputs": [hash_file(file)]}),
    ]
    assert len(set(variants)) == len(variants)
    assert fingerprint("clean", **base) == variants[0]


def write(size):
    return lambda folder: (folder / "result").write_bytes(bytes(size))


def used(cache, *names):
    """Fills a cache with results of 100 bytes, used one second apart and then released."""
    for second, name in enumerate(names):
        entry = cache.get("clean", name, write(100))
        os.utime(entry.path, (second, second))
    cache.release()


def test_results_are_listed_by_their_last_use(tmp_path):
    cache = Cache(tmp_path)
    used(cache, "a", "b", "c")
    cache.get("clean", "a", write(100))  # `a` is now the result that was used last
    listed = cache.entries()
    assert [(info.stage, info.fingerprint, info.bytes) for info in listed] == [
        ("clean", "b", 100),
        ("clean", "c", 100),
        ("clean", "a", 100),
    ]
    assert listed[-1].used_at.year > 2000
    assert listed[0].used_at.tzinfo is not None


def test_pruning_drops_the_least_recently_used_until_the_rest_fits(tmp_path):
    cache = Cache(tmp_path)
    used(cache, "a", "b", "c")
    assert [info.fingerprint for info in cache.prune(250)] == ["a"]
    assert cache.prune(250) == []
    assert [info.fingerprint for info in cache.prune(0)] == ["b", "c"]
    assert list((tmp_path / "clean").iterdir()) == []


def test_pruning_keeps_results_that_a_run_uses_or_has_just_built(tmp_path):
    running, pruning = Cache(tmp_path), Cache(tmp_path)
    used(pruning, "old", "other")
    running.get("clean", "old", write(100))
    running.get("tokenize", "new", write(100))
    assert [info.fingerprint for info in pruning.prune(0)] == ["other"]
    running.release()
    assert [info.fingerprint for info in pruning.prune(0)] == ["old", "new"]


def test_a_result_that_another_process_uses_is_kept_until_that_process_is_killed(tmp_path):
    # A separate process shows whether the lock ends with the process that holds it.
    program = (
        "import sys, pathlib; from core.storage.cache import Cache; "
        "Cache(pathlib.Path(sys.argv[1])).get('clean', 'a', lambda folder: None); "
        "print('held', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], **pipes) as user:
        assert user.stdout.readline() == b"held\n"
        (tmp_path / "clean" / "a" / "text").write_bytes(bytes(10))
        assert Cache(tmp_path).prune(0) == []
        user.kill()
    assert [info.fingerprint for info in Cache(tmp_path).prune(0)] == ["a"]


def test_pruning_removes_folders_of_killed_builds_but_not_of_running_builds(tmp_path):
    cache = Cache(tmp_path)
    left = tmp_path / "clean" / "abc.123.tmp"
    left.mkdir(parents=True)

    def build(folder):
        (folder / "half").write_text("text")
        Cache(tmp_path).prune(0)
        assert not left.exists()
        assert (folder / "half").exists()

    assert cache.get("clean", "def", build).path.is_dir()
    assert [info.fingerprint for info in cache.entries()] == ["def"]


def test_a_result_that_another_builder_finished_first_is_taken(tmp_path):
    # Simulates a second builder that does not see the lock, as on a file system without locks.
    cache = Cache(tmp_path)

    def build(folder):
        (folder / "by").write_text("second")
        final = tmp_path / "clean" / "a"
        publish_folder(final, lambda other: (other / "by").write_text("first"))

    entry = cache.get("clean", "a", build)
    assert (entry.cached, (entry.path / "by").read_text()) == (True, "first")
    assert Cache(tmp_path).prune(0) == []  # the result is in use


def test_an_empty_cache_has_no_entries(tmp_path):
    assert Cache(tmp_path / "none").entries() == []
    assert Cache(tmp_path / "none").prune(0) == []


def test_a_pin_keeps_a_result_while_its_owner_names_it(tmp_path):
    cache = Cache(tmp_path / "cache")
    owners = [tmp_path / "jobs" / name / "inputs.json" for name in ("one", "two")]
    for owner in owners:
        owner.parent.mkdir(parents=True)
        owner.write_text('{"clean": "abc"}')
        cache.pin("clean", "abc", owner)
        cache.pin("clean", "abc", owner)
    used(cache, "abc", "other")
    assert [info.fingerprint for info in cache.prune(0)] == ["other"]
    cache.unpin("clean", "abc", owners[0])
    cache.unpin("clean", "abc", owners[0])
    assert cache.prune(0) == []
    owners[1].write_text('{"clean": "another"}')
    assert [info.fingerprint for info in cache.prune(0)] == ["abc"]
    assert list((tmp_path / "cache" / ".pins" / "clean").iterdir()) == []


def test_pins_hold_where_the_runs_folder_was_moved(tmp_path):
    owner = tmp_path / "runs" / "jobs" / "one" / "inputs.json"
    owner.parent.mkdir(parents=True)
    owner.write_text("abc")
    cache = Cache(tmp_path / "runs" / "cache")
    used(cache, "abc")
    cache.pin("clean", "abc", owner)
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert Cache(tmp_path / "moved" / "cache").prune(0) == []
