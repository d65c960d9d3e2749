"""File names: any name that a file system permits can be used. Files left out are reported."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.corpus.names import MAX_STEM_BYTES, shown_name, text_stem
from core.corpus.sources import find_source_files, scan_folder
from core.corpus.stage import clean_corpus
from core.spec.corpus import CleanOptions
from core.spec.job import JobSpec

NAMES = {
    b"caf\xe9.txt": "caf\\xe9",
    "caf\u00e9.txt".encode(): "caf\u00e9",
    b"my text.txt": "my text",
    b"NOTES.TXT": "NOTES",
    b"film.srt": "film",
    b"0001.cha": "0001",
    b"2591.txt.utf-8": "2591",
    b"line\nbreak.txt": "line\\nbreak",
    b"a%2Fb?c#d.txt": "a%2Fb?c#d",
    b"-rf.txt": "-rf",
    b"back\\slash.dev": "back\\slash",
}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "data"
    made.mkdir()
    for name in NAMES:
        with open(os.path.join(os.fsencode(made), name), "wb") as file:
            file.write(b"some words here\n")
    return made


def test_files_of_any_name_are_found_cleaned_and_named_in_a_spec(folder, tmp_path):
    files = find_source_files(folder)
    assert sorted(file.stem for file in files) == sorted(NAMES.values())
    output = tmp_path / "out"
    output.mkdir()
    report = clean_corpus(
        files,
        options=CleanOptions(),
        output=output,
        progress=lambda _: None,
        should_stop=lambda: False,
        processes=1,
    )
    assert json.loads((output / "report.json").read_text()) == report.model_dump(mode="json")
    assert {path.name for path in output.glob("*.txt")} == {
        f"{stem}.txt" for stem in report.sources
    }
    body = {"data": {"sources": sorted(NAMES.values())}}
    spec = JobSpec.model_validate_json(JobSpec.model_validate(body).model_dump_json())
    assert find_source_files(folder, sources=spec.data.sources) == files


def test_a_suffix_may_tell_the_format(folder):
    sources = {file.stem: file.source for file in find_source_files(folder)}
    assert (sources["0001"], sources["film"], sources["NOTES"]) == (
        "childes",
        "open_subtitles",
        "plain",
    )


@pytest.mark.parametrize("name", ["CHILDES.TRAIN", "childes.Train.txt", "Childes.cha"])
def test_the_case_of_a_name_does_not_matter_for_its_cleaner(tmp_path, name):
    (tmp_path / name).write_text("*MOT:\tno .\n")
    (file,) = find_source_files(tmp_path)
    assert file.source == "childes"


def test_whatever_is_left_out_is_named_with_the_reason(folder):
    for name in ("childes.train", "childes.txt", "readme.md", ".DS_Store"):
        (folder / name).write_text("text\n")
    (folder / "inner").mkdir()
    (folder / "gone.txt").symlink_to(folder / "nothing")
    _, left_out = scan_folder(folder)
    reasons = {each.name: each.reason for each in left_out}
    assert set(reasons) == {"childes.txt", "readme.md", ".DS_Store", "inner", "gone.txt"}
    assert "same source as childes.train" in reasons["childes.txt"]
    assert "no suffix of a text" in reasons["readme.md"]
    assert "hidden" in reasons[".DS_Store"]


@given(
    st.binary(min_size=1, max_size=251).filter(lambda name: b"/" not in name and b"\0" not in name)
)
def test_the_shown_form_of_any_name_is_printable_and_short_enough_for_a_file(name):
    decoded = os.fsdecode(name)
    assert shown_name(decoded).isprintable()
    stem = text_stem(decoded + ".txt")
    if not decoded.startswith("."):
        assert stem is not None
        assert len(stem.encode()) <= MAX_STEM_BYTES
        assert json.loads(json.dumps(stem)) == stem


def test_long_names_with_the_same_beginning_stay_apart():
    assert text_stem("a" * 250 + ".txt") != text_stem("a" * 249 + "b.txt")
