"""A finished run of the track strict-small that stopped after 2.5 million words."""

import shutil

import pytest
import torch

from core.checkpoints.model import build_model
from core.checkpoints.writer import Checkpoints, Position
from core.events.journal import JournalWriter
from core.spec.job import JobSpec, TokenizerSpec
from core.storage.rundir import RunDir
from core.tokenizer.bpe import train_bpe

VOCAB_SIZE = 300
MILESTONES = ("chck_1M", "chck_2M")
SPEC = {
    "name": "small",
    "track": "strict-small",
    "data": {"dataset": "sample", "validation": None},
    "tokenizer": {"vocab_size": VOCAB_SIZE},
    "model": {
        **{"architecture": "olmo2", "hidden_size": 16, "num_hidden_layers": 1},
        **{"num_attention_heads": 2, "max_position_embeddings": 64},
    },
    "training": {"seq_length": 32},
}


def write_run(folder):
    """Writes the run with the code that training uses; each checkpoint has other weights."""
    folder.mkdir()
    text, tokenizer = folder / "text.txt", folder / "tokenizer"
    text.write_text("the dog sees the cat.\n\nAnna likes the old dog.\n" * 50)
    tokenizer.mkdir()
    train_bpe(
        [text],
        spec=TokenizerSpec(vocab_size=VOCAB_SIZE),
        output=tokenizer,
        progress=lambda _: None,
        should_stop=lambda: False,
    )
    text.unlink()
    spec, rundir = JobSpec.model_validate(SPEC).resolve(), RunDir(folder)
    rundir.spec.write_text(spec.model_dump_json())
    model = build_model(spec.model, vocab_size=VOCAB_SIZE, seed=0)
    with JournalWriter(rundir.journal) as journal:
        checkpoints = Checkpoints(
            spec=spec, rundir=rundir, tokenizer=tokenizer, emit=journal.append
        )
        for number, name in enumerate((*MILESTONES, None), start=1):
            with torch.no_grad():
                model.lm_head.weight.mul_(1.25)
            words = number * 1_000_000 + 37 if name else 2_500_000
            position = Position(number * 10, words * 2, words, None)
            kind = "milestone" if name else "last"
            checkpoints.save(kind, model=model, position=position, name=name)
    return rundir


@pytest.fixture(scope="package")
def original(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("submission") / "run")


@pytest.fixture
def rundir(original, tmp_path):
    shutil.copytree(original.root, tmp_path / "run", copy_function=shutil.copy2)
    return RunDir(tmp_path / "run")
