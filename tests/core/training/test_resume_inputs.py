"""A resume point is only loaded with the data on which it was trained."""

import dataclasses
import json

import pytest

from core.dataset.encode import encode_split
from core.dataset.tokens import TokenFile
from core.errors import CorpusChanged, Stopped
from core.spec.job import TokenizerSpec
from core.storage.file_hashes import hash_file
from core.tokenizer.bpe import train_bpe
from tests.core.training.conftest import no_progress, write_text


@pytest.fixture
def other(tmp_path, corpus):
    """A function that builds tokens of another text. It uses the tokenizer of the corpus, or trains
    one if `vocab_size` is set.
    """

    def build(*, documents=60, start=3, vocab_size=None):
        text, folder = tmp_path / "other.txt", tmp_path / "other"
        write_text(text, documents=documents, start=start)
        tokenizer = corpus[2]
        if vocab_size is not None:
            tokenizer = tmp_path / "other_tokenizer"
            tokenizer.mkdir()
            train_bpe(
                [text],
                spec=TokenizerSpec(vocab_size=vocab_size),
                output=tokenizer,
                progress=no_progress,
                should_stop=lambda: False,
            )
        folder.mkdir()
        encode_split(
            [text],
            tokenizer=tokenizer,
            output=folder,
            progress=no_progress,
            should_stop=lambda: False,
            processes=1,
        )
        return TokenFile.open(folder), tokenizer

    return build


@pytest.fixture
def stopped(tiny_run):
    run = tiny_run()
    with pytest.raises(Stopped):
        run.go(stop_at=5)
    return run


def test_other_training_text_is_refused(stopped, other):
    tokens, _ = other()
    with pytest.raises(CorpusChanged, match="was trained with different data: training text"):
        stopped.go(train=tokens)
    stopped.go()


def test_other_validation_text_is_refused(stopped, other):
    tokens, _ = other(documents=6)
    with pytest.raises(CorpusChanged, match="different data: validation text"):
        stopped.go(validation=tokens)


@pytest.mark.parametrize("vocab_size", [300, 290])
def test_another_tokenizer_is_refused_by_name(stopped, other, vocab_size):
    tokens, tokenizer = other(start=4000, documents=80, vocab_size=vocab_size)
    with pytest.raises(CorpusChanged, match="different data: tokenizer, training text"):
        stopped.go(train=tokens, tokenizer=tokenizer)
    assert (stopped.rundir.resume / "step-000005").is_dir()


def strip_hashes(run):
    for point in run.rundir.resume.iterdir():
        state, manifest = point / "state.json", point / "manifest.json"
        fields = json.loads(state.read_text())
        del fields["trained_on"]
        state.write_text(json.dumps(fields))
        entries = json.loads(manifest.read_text())
        entries["state.json"] = {"size": state.stat().st_size, "sha256": hash_file(state)}
        manifest.write_text(json.dumps(entries))


def test_a_resume_point_of_an_older_version_is_held_to_the_size_of_its_vocabulary(stopped, other):
    strip_hashes(stopped)
    tokens, tokenizer = other(vocab_size=290)
    with pytest.raises(CorpusChanged, match="vocabulary of 300 entries, but the tokenizer has 290"):
        stopped.go(train=tokens, tokenizer=tokenizer)
    stopped.go()


def test_token_files_in_another_folder_are_the_same_data(stopped, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in stopped.train.folder.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    stopped.go(train=dataclasses.replace(stopped.train, folder=moved))
