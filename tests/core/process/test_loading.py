"""The garbage collector is disabled while a library is loaded."""

import gc

import pytest

from core.process.loading import loading


def test_the_garbage_collector_is_disabled_while_a_library_is_loaded_and_frozen_afterwards() -> (
    None
):
    before = gc.get_freeze_count()
    try:
        with loading("a_library_that_is_not_loaded"):
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_the_collector_runs_again_after_a_failed_load() -> None:
    try:
        with pytest.raises(ModuleNotFoundError), loading("a_library_that_is_not_there"):
            import a_library_that_is_not_there  # noqa: F401
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_a_loaded_library_changes_nothing() -> None:
    before = gc.get_freeze_count()
    with loading("pytest"):
        assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with loading("a_library_that_is_not_loaded"):
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
