"""A tiny corpus as tokens, and a run folder to train in."""

from pathlib import Path

import pytest
import torch

from core.dataset.encode import encode_split
from core.dataset.tokens import TokenFile
from core.process.stop import StopSignal
from core.spec.job import JobSpec, TokenizerSpec
from core.spec.plan import make_plan
from core.stages.reporter import StageReporter
from core.storage.rundir import RunDir
from core.tokenizer.bpe import train_bpe
from core.training.loop import train_model

SUBJECTS = ["the dog", "the dogs", "a cat", "two cats", "my friend", "her friends"]
VERBS = ["sees", "see", "likes", "like", "follows", "follow"]
PLACES = ["in the garden", "near the river", "at home", "on the hill", "by the sea"]


def no_progress(reducer, *_):
    assert 0.0 <= reducer <= 1.0


def write_text(path: Path, *, documents: int, start: int = 0) -> None:
    texts = []
    for number in range(start, start + documents):
        lines = [
            f"{SUBJECTS[(number + k) % 6]} {VERBS[(number * 7 + k) % 6]} "
            f"{SUBJECTS[(number * 3 + k) % 6]} {PLACES[(number + 2 * k) % 5]} ."
            for k in range(4)
        ]
        texts.append("\n".join(lines))
    path.write_text("\n\n".join(texts) + "\n")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A tuple of training tokens, validation tokens and the folder of the tokenizer."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("corpus")
    write_text(folder / "train.txt", documents=60)
    write_text(folder / "dev.txt", documents=6, start=1000)
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    train_bpe(
        [folder / "train.txt"],
        spec=TokenizerSpec(vocab_size=300),
        output=tokenizer,
        progress=no_progress,
        should_stop=lambda: False,
    )
    splits = []
    for name in ("train", "dev"):
        output = folder / name
        output.mkdir()
        encode_split(
            [folder / f"{name}.txt"],
            tokenizer=tokenizer,
            output=output,
            progress=no_progress,
            should_stop=lambda: False,
            processes=1,
        )
        splits.append(TokenFile.open(output))
    return (*splits, tokenizer)


class TinyRun:
    """A run of a tiny model, to train, stop and inspect."""

    def __init__(self, root: Path, corpus: tuple, architecture: str, **training) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.rundir = RunDir(root)
        self.train, self.validation, self.tokenizer = corpus
        model = {"architecture": architecture, "hidden_size": 16, "num_hidden_layers": 2}
        if architecture == "llama4":
            model["num_local_experts"] = 2
        self.spec = JobSpec.model_validate(
            {
                "track": training.pop("track", "free"),
                "model": model,
                "tokenizer": {"vocab_size": 300},
                "training": {
                    "seq_length": 16,
                    "batch_size": 4,
                    "max_steps": 12,
                    "learning_rate": 3e-3,
                    "warmup_steps": 2,
                    "logging_steps": 1,
                    "eval_steps": 4,
                    "save_steps": 4,
                    "num_threads": 1,
                    "sample_prompts": ["the dog"],
                    "sample_max_new_tokens": 4,
                    **training,
                },
            }
        ).resolve()
        self.events: list = []
        self.stop = StopSignal()

    def go(self, *, stop_at: int | None = None, fail_at: int | None = None, **overrides) -> None:
        """Trains; requests a stop after step `stop_at`, or raises after step `fail_at`."""
        self.stop = StopSignal()

        def emit(event) -> None:
            self.events.append(event)
            values = getattr(event, "values", {})
            if "train/loss" in values and event.step == stop_at:
                self.stop.request("test")
            if "train/loss" in values and event.step == fail_at:
                raise KeyboardInterrupt  # like a kill: nothing is saved at the end

        options = {
            "spec": self.spec,
            "plan": make_plan(self.spec.training, num_tokens=self.train.num_tokens),
            "rundir": self.rundir,
            "train": self.train,
            "validation": self.validation,
            "tokenizer": self.tokenizer,
            "emit": emit,
            "sync_journal": lambda: None,
            "stop": self.stop,
            "reporter": StageReporter(self.events.append),
        }
        train_model(**options | overrides)

    def values(self, name: str) -> dict[int, float]:
        """A metric by step."""
        return {
            event.step: event.values[name]
            for event in self.events
            if name in getattr(event, "values", {})
        }

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    def names(self) -> set[str]:
        return {path.name for path in self.rundir.checkpoints.iterdir()}


@pytest.fixture
def tiny_run(tmp_path, corpus):
    def build(architecture: str = "olmo2", *, name: str = "run", **training) -> TinyRun:
        return TinyRun(tmp_path / name, corpus, architecture, **training)

    return build
