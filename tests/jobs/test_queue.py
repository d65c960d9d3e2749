"""The Celery app imports nothing from the working directory."""

import sys

import pytest

from jobs.queue import make_app


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    folder = tmp_path / "working"
    folder.mkdir()
    (folder / "of_the_user.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(folder)
    return folder


def test_its_loader_ignores_the_working_folder(working_folder):
    loader = make_app("redis://127.0.0.1:1").loader
    with pytest.raises(ModuleNotFoundError):
        loader.import_task_module("of_the_user")
    assert loader.import_task_module("json") is sys.modules["json"]
    assert str(working_folder) not in sys.path


def test_the_environment_of_a_django_project_changes_nothing(working_folder, tmp_path, monkeypatch):
    django = tmp_path / "site" / "django"
    django.mkdir(parents=True)
    (django / "__init__.py").write_text("VERSION = (5, 2)")
    (django / "conf.py").write_text("settings = None")
    monkeypatch.syspath_prepend(django.parent)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "of_the_user")
    make_app("redis://127.0.0.1:1")
    assert str(working_folder) not in sys.path
