"""Stage results: built once for a fingerprint, which covers all that decides them."""

import pytest

from core.cache import Cache, fingerprint, hash_file


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
