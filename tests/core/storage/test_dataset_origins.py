"""Origins of the files of a dataset."""

from core.storage.dataset_origins import (
    ORIGINS_FILE,
    DatasetOrigin,
    forget_files,
    read_origins,
    save_origin,
)


def test_no_record_remains_of_files_that_are_gone(tmp_path):
    origin = DatasetOrigin(repository="user/text", commit="0" * 40, files=["a.txt", "b.txt"])
    for name in ("a.txt", "b.txt", "own.txt"):
        (tmp_path / name).write_text("one\n")
    save_origin(tmp_path, origin)
    forget_files(tmp_path, ["own.txt"])
    assert read_origins(tmp_path) == [origin]
    forget_files(tmp_path, ["a.txt"])
    assert [each.files for each in read_origins(tmp_path)] == [["b.txt"]]
    (tmp_path / "b.txt").unlink()  # by hand, not through the service
    forget_files(tmp_path, ["own.txt"])
    assert not (tmp_path / ORIGINS_FILE).exists()
