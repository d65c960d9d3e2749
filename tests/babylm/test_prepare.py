"""The preparations of `babylm serve`."""

from babylm.commands.service import prepare
from jobs.database import Database
from jobs.settings import Settings


def settings_in(folder):
    return Settings(data_dir=folder / "data", runs_dir=folder / "runs")


def test_a_fresh_folder_gets_the_schema_and_the_sample_corpus(tmp_path):
    settings = settings_in(tmp_path)
    prepare(settings)
    Database(settings.database_url).check_schema()
    assert (settings.data_dir / "sample" / "childes.train").stat().st_size > 1000
    assert (settings.data_dir / "sample_dev" / "childes.dev").is_file()


def test_an_existing_sample_corpus_is_not_changed(tmp_path):
    settings = settings_in(tmp_path)
    own = settings.data_dir / "sample" / "own.txt"
    own.parent.mkdir(parents=True)
    own.write_text("My own text.\n")
    prepare(settings)
    assert [path.name for path in own.parent.iterdir()] == ["own.txt"]


def test_the_service_starts_with_a_read_only_data_folder(tmp_path):
    settings = settings_in(tmp_path)
    settings.data_dir.write_text("a file where the folder would be")
    prepare(settings)
    Database(settings.database_url).check_schema()
