"""Fine-tuning runs: results, exact resuming, and scores that are recorded once."""

import json
from random import Random

import pytest
import torch
from transformers import AutoModel

from core.checkpoints.generate import load_checkpoint
from core.errors import CheckpointMissing, EvaluationInvalid, NonFiniteLoss, Stopped
from core.evaluation.finetune import train
from core.evaluation.finetune.classifier import Classifier
from core.evaluation.finetune.data import epoch_order
from core.evaluation.finetune.metrics import measures
from core.events.journal import JournalWriter
from core.events.types import MetricsData
from core.process.stop import StopSignal
from tests.core.evaluation.finetune.conftest import SHAPES

INSTANTS = 10


class Killed(BaseException):
    """Raised where a kill would end the process."""


class StopsAfter(StopSignal):
    """Requests a stop after the given number of calls."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def __call__(self):
        self.calls -= 1
        return self.calls < 0


def dying_journal(appends, *, writes):
    """A journal that simulates a kill of its process at an append, before or after the write."""

    class Dying(JournalWriter):
        left = appends

        def append(self, data):
            Dying.left -= 1
            if Dying.left or writes:
                super().append(data)
            if not Dying.left:
                raise Killed

    return Dying


def test_the_order_of_the_examples_never_changes():
    # A run that resumes with another version of numpy must keep its order.
    assert epoch_order(8, seed=0, epoch=0) == (3, 2, 1, 6, 0, 7, 4, 5)
    assert epoch_order(8, seed=0, epoch=0) is epoch_order(8, seed=0, epoch=0)
    assert sorted(epoch_order(8, seed=0, epoch=1)) == list(range(8))


@pytest.mark.parametrize("architecture", SHAPES)
def test_the_head_reads_what_the_official_code_reads(shared, architecture):
    """With `--take_final --padding_side left`, the official code pads on the left and reads the
    last token. Our code pads on the right, and its logits must be the same.
    """
    folder = shared / "jobs" / architecture / "checkpoints" / "last"
    model, tokenizer = load_checkpoint(folder)
    options = {"num_labels": 3, "dropout": 0.1, "seed": 7}
    ours = Classifier(model, pooling="last", **options).eval()
    texts = ["the dog runs", "a cat near the old house sees the small dogs again today"]
    official = AutoModel.from_pretrained(folder).eval()
    tokenizer.padding_side = "left"
    padded = tokenizer(texts, padding=True, return_tensors="pt")
    hidden = official(
        input_ids=padded.input_ids, attention_mask=padded.attention_mask
    ).last_hidden_state[:, -1]
    tokenizer.padding_side = "right"
    right = tokenizer(texts, padding=True, return_tensors="pt")
    assert right.attention_mask.sum(dim=1)[0] < right.attention_mask.sum(dim=1)[1]
    with torch.no_grad():
        logits = ours(right.input_ids, right.attention_mask.sum(dim=1))
        torch.testing.assert_close(logits, ours.head(hidden), atol=1e-5, rtol=1e-4)
        first = Classifier(model, pooling="first", **options).eval()
        alone = first(right.input_ids[:, :1], torch.tensor([1, 1]))
        torch.testing.assert_close(first(right.input_ids, torch.tensor([1, 1])), alone)


@pytest.mark.parametrize("architecture", SHAPES)
def test_every_architecture_learns_a_task_and_keeps_its_predictions(
    shared, finetuning, architecture
):
    (shared / "jobs" / architecture / "spec.json").write_text("{}")
    made = finetuning(job=architecture, epochs=6, batch_size=8, learning_rate=4e-3).run()
    [event] = made.events("evaluation")
    result = event["result"]
    assert (event["checkpoint"], event["task"], result["kind"]) == ("last", "rte", "classification")
    assert (result["metric"], result["chance"], result["pairs"]) == ("accuracy", 0.5, 24)
    assert result["score"] == result["measures"]["accuracy"] > 0.5
    losses = [value for (name, _), value in made.values().items() if name == "finetune/loss/rte"]
    assert len(losses) == 36
    assert sum(losses[-6:]) < sum(losses[:6])
    entries = made.predictions("rte")["rte"]["predictions"]
    assert [entry["id"] for entry in entries] == [f"rte_{number}" for number in range(24)]
    lines = (shared / "data/evaluations/glue_filtered/rte.valid.jsonl").read_text().splitlines()
    labels = [json.loads(line)["label"] for line in lines]
    assert measures(labels, [entry["pred"] for entry in entries]) == result["measures"]
    of_source = shared / "jobs" / architecture / "evaluations" / "last" / "rte"
    assert json.loads((of_source / "predictions.json").read_bytes()) == made.predictions("rte")
    assert not any(made.dir.resume.glob("*"))
    assert made.events("warning") == []


def test_a_stopped_run_continues_bit_for_bit(finetuning, monkeypatch):
    whole = finetuning(tasks=["rte", "mnli"]).run()
    assert len({name for name, _ in whole.values()}) == 2 + 2 + 2 + 1  # mnli has no F1
    stopped = finetuning(tasks=["rte", "mnli"])
    monkeypatch.setattr(train, "SAVE_SECONDS", 0.0)
    for calls in (1, 3, 4, 2, 5):
        with pytest.raises(Stopped):
            stopped.run(stop=StopsAfter(calls))
    stopped.run()
    assert stopped.values() == whole.values()
    assert [event["task"] for event in stopped.events("evaluation")] == ["rte", "mnli"]
    for task in ("rte", "mnli"):
        assert stopped.predictions(task) == whole.predictions(task)


def test_a_stop_after_a_validation_does_not_repeat_it(finetuning, monkeypatch):
    stop = StopsAfter(1_000_000)

    class StopsAtScore(JournalWriter):
        def append(self, data):
            super().append(data)
            if isinstance(data, MetricsData) and "finetune/accuracy/rte" in data.values:
                stop.calls = 0

    monkeypatch.setattr(train, "SAVE_SECONDS", 0.0)
    made = finetuning()
    with pytest.raises(Stopped):
        made.run(journal=StopsAtScore, stop=stop)
    made.run()
    scored = [each["step"] for each in made.events("metrics") if len(each["values"]) > 1]
    assert scored == [3, 6]


def test_each_score_is_recorded_once_whatever_the_run_is_killed_at(finetuning, monkeypatch):
    whole = finetuning(tasks=["rte", "wsc"], epochs=1).run()
    killed = finetuning(tasks=["rte", "wsc"], epochs=1)
    monkeypatch.setattr(train, "SAVE_SECONDS", 0.0)
    random = Random(0)
    for _ in range(INSTANTS):
        journal = dying_journal(random.randint(1, 9), writes=random.random() < 0.5)
        try:
            killed.run(journal=journal)
        except Killed:
            continue
    killed.run()
    strip = [(event["task"], event["scores"]) for event in whole.events("evaluation")]
    assert [(event["task"], event["scores"]) for event in killed.events("evaluation")] == strip
    assert killed.values() == whole.values()


def test_a_damaged_resume_point_is_skipped_with_a_warning(finetuning, monkeypatch):
    whole, made = finetuning().run(), finetuning()
    monkeypatch.setattr(train, "SAVE_SECONDS", 0.0)
    with pytest.raises(Stopped):
        made.run(stop=StopsAfter(4))
    newest = max(made.dir.resume.iterdir())
    (newest / "optimizer.safetensors").write_bytes(b"")
    made.run()
    assert [event["code"] for event in made.events("warning")] == ["checkpoint_damaged"]
    assert made.values() == whole.values()


def test_the_checkpoint_may_disappear_after_the_run_has_linked_it(shared, finetuning):
    made = finetuning()
    with pytest.raises(Stopped):
        made.run(stop=StopsAfter(1))
    original = shared / "jobs" / "olmo2"
    original.rename(shared / "jobs" / "gone")
    try:
        made.run()
        missing = finetuning()
        with pytest.raises(CheckpointMissing, match="job olmo2 has no checkpoint last any more"):
            missing.run()
    finally:
        (shared / "jobs" / "gone").rename(original)
    assert len(made.events("evaluation")) == 1


def test_another_seed_gives_other_batches_and_another_head(finetuning):
    first, again, other = (finetuning(seed=seed, epochs=1).run() for seed in (1, 1, 2))
    assert first.values() == again.values()
    assert first.values() != other.values()


def test_settings_that_do_not_fit_the_examples_are_refused(finetuning):
    with pytest.raises(EvaluationInvalid, match=r"48 examples and finetune\.batch_size is 64"):
        finetuning(batch_size=64).run()
    with pytest.raises(EvaluationInvalid, match=r"mnli has 3 labels and finetune\.metric is f1"):
        finetuning(tasks=["mnli"], metric="f1").run()
    with pytest.raises(EvaluationInvalid, match="has no task cola; it has: boolq, mnli"):
        finetuning(tasks=["cola"]).run()


def test_a_loss_that_is_not_finite_ends_the_run(finetuning):
    made = finetuning(learning_rate=1.0, warmup_ratio=0.0, epochs=50)
    source = made.dir.source
    source.mkdir()
    original = made.shared / "jobs" / "olmo2" / "checkpoints" / "last"
    for path in original.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    model, _ = load_checkpoint(source)
    model.model.norm.weight.data.fill_(float("nan"))
    model.save_pretrained(source)
    with pytest.raises(NonFiniteLoss, match="the loss of step 1 of rte is nan"):
        made.run()


def test_the_first_token_alone_is_warned_of(finetuning):
    made = finetuning(pooling="first", epochs=1).run()
    assert [event["code"] for event in made.events("warning")] == ["one_token_seen"]
