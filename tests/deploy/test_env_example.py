"""The example of `.env` names every setting and every variable of compose, with its default."""

import re

from babylm.generate_settings_docs import FOR_COMPOSE, page, service_variables
from jobs.settings import Settings
from tests.deploy.test_compose_file import ROOT, variables

EXAMPLE = ROOT / ".env.example"
LINE = re.compile(r"^#?([A-Z_]+)=(.*)$", re.MULTILINE)


def test_the_example_is_not_stale():
    assert EXAMPLE.read_text() == page(), "python -m babylm.generate_settings_docs > .env.example"


def test_every_setting_is_there_once_with_its_meaning():
    names = [name for name, _ in LINE.findall(EXAMPLE.read_text())]
    assert len(names) == len(set(names))
    for field, information in Settings.model_fields.items():
        assert f"BABYLM_{field.upper()}" in names
        assert information.description


def test_the_defaults_that_it_shows_are_the_defaults(monkeypatch, tmp_path):
    for name in list(Settings.model_fields):
        monkeypatch.delenv(f"BABYLM_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    shown = Settings(_env_file=None)
    lines = [f"{variable.name}={variable.value}" for variable in service_variables()]
    (tmp_path / ".env").write_text("\n".join(lines))
    assert Settings() == shown


def test_a_copy_of_it_is_a_valid_env_file(tmp_path, monkeypatch):
    for name in list(Settings.model_fields):
        monkeypatch.delenv(f"BABYLM_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(EXAMPLE.read_text())
    assert Settings() == Settings(_env_file=None)


def test_every_variable_of_compose_is_explained_with_the_default_that_compose_uses():
    shown = dict(LINE.findall(EXAMPLE.read_text()))
    for name, (kind, default) in variables().items():
        assert name in shown, f"{name} is missing in {EXAMPLE.name}"
        if name in {variable.name for variable in FOR_COMPOSE}:
            assert kind == "-"
            assert shown[name] == default


def test_the_example_names_nothing_that_compose_does_not_read():
    for variable in FOR_COMPOSE:
        if variable.name != "COMPOSE_PROFILES":  # compose itself reads it
            assert variable.name in variables()
