"""Tiny checkpoints of all architectures, and a folder of classification tasks."""

import json
from random import Random

import pytest
import torch

from core.archs import ARCHITECTURES
from core.checkpoints.model import build_model, save_config, save_weights
from core.events.journal import JournalWriter, read_journal
from core.pipeline import run_pipeline
from core.process.stop import StopSignal
from core.spec.job import JobSpec, TokenizerSpec
from core.stages.context import Run
from core.storage.cache import Cache
from core.storage.model_files import WEIGHTS_FILE
from core.storage.rundir import RunDir
from core.tokenizer.bpe import train_bpe
from tests.official_files import write_classification_files

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SHAPES = {
    "gemma2": SMALL | {"num_key_value_heads": 1, "head_dim": 16, "sliding_window": 8},
    "llama4": SMALL | {"num_key_value_heads": 1, "head_dim": 16, "num_local_experts": 2},
    "olmo2": SMALL,
}


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder with data and with a job for each architecture, each with a checkpoint."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("finetune")
    write_classification_files(root / "data" / "evaluations" / "glue_filtered", items=48)
    text = root / "text.txt"
    lines = (root / "data" / "evaluations" / "glue_filtered" / "boolq.train.jsonl").read_text()
    (root / "tokenizer").mkdir()
    text.write_text(" ".join(json.loads(line)["passage"] for line in lines.splitlines()))
    train_bpe(
        [text],
        spec=TokenizerSpec(vocab_size=300),
        output=root / "tokenizer",
        progress=lambda _: None,
        should_stop=lambda: False,
    )
    for name, shape in SHAPES.items():
        architecture = ARCHITECTURES[name].model_validate(shape).resolve(seq_length=32)
        model = build_model(architecture, vocab_size=300, seed=Random(name).randrange(1000))
        folder = RunDir(root / "jobs" / name).checkpoint("last")
        folder.mkdir(parents=True)
        save_weights(model, folder / WEIGHTS_FILE)
        save_config(model, folder, architecture)
        for file in (root / "tokenizer").iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
    return root


class Finetuning:
    """A run folder next to the run folders that have the checkpoints; `run` runs it."""

    def __init__(self, shared, name, **settings):
        self.shared = shared
        self.dir = RunDir(shared / "jobs" / name)
        self.dir.root.mkdir()
        small = {"learning_rate": 1e-3, "batch_size": 16, "epochs": 2}
        self.spec = JobSpec.model_validate(
            {
                "task": "finetune",
                "training": {"device": "cpu", "num_threads": 1},
                "finetune": {"job": "olmo2", "tasks": ["rte"], **small, **settings},
            }
        ).resolve()

    def run(self, *, journal=JournalWriter, stop=None):
        with journal(self.dir.journal) as opened:
            run_pipeline(
                Run(
                    spec=self.spec,
                    rundir=self.dir,
                    data_dir=self.shared / "data",
                    cache=Cache(self.shared / "cache"),
                    journal=opened,
                    stop=stop or StopSignal(),
                )
            )
        return self

    def events(self, kind):
        return [event.data for event, _ in read_journal(self.dir.journal) if event.type == kind]

    def values(self):
        """The newest value of each metric at each step."""
        return {
            (name, event["step"]): value
            for event in self.events("metrics")
            for name, value in event["values"].items()
        }

    def predictions(self, task):
        return json.loads(self.dir.predictions("last", task).read_bytes())


@pytest.fixture
def finetuning(shared, request):
    made = []

    def make(**settings):
        name = f"{request.node.name.replace('[', '-').replace(']', '')}-{len(made)}"
        made.append(name)
        return Finetuning(shared, name, **settings)

    return make
