"""The environment in which the wheel is checked."""

from release.wheel_check import environment


def test_the_wheel_is_checked_without_the_clone_and_its_settings(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "clone")
    monkeypatch.setenv("BABYLM_RUNS_DIR", "elsewhere")
    monkeypatch.setenv("BABYLM_API_KEY", "secret")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    found = environment()
    assert found["PIP_INDEX_URL"] == "https://index.example/simple"
    assert not [name for name in found if name == "PYTHONPATH" or name.startswith("BABYLM_")]
