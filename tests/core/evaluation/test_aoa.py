"""Age of acquisition: the surprisals of the official pipeline, and refusals of damaged files."""

import json

import pytest
import torch

from core.errors import EvaluationInvalid
from core.evaluation.prepared import PreparedTasks, read_contents
from core.evaluation.slices import Evaluation, prepare
from core.evaluation.tasks import require_tasks
from tests.official_files import write_official_files


@torch.no_grad()
def official(model, tokenizer, file) -> list[dict]:
    """Does for each text what the official `compute_surprisal_causal` and its callers do."""
    entries = []
    for word, contexts in json.loads(file.read_text()).items():
        if len(word) <= 1:
            continue
        for number, context in enumerate(each["context"] for each in contexts):
            text = context.strip() + " " + word.strip()
            found = tokenizer(text=text, return_offsets_mapping=True)
            ids = torch.tensor(found["input_ids"])
            start = len(text) - len(word.strip())
            mask = torch.tensor([int(end > start) for _, end in found["offset_mapping"]])[1:]
            logits = model(input_ids=ids[None, :-1]).logits.log_softmax(-1)  # (1, T - 1, V)
            values = logits[0].gather(1, ids[1:, None])[:, 0]  # (T - 1,)
            surprisal = -(values * mask).sum().item()
            about = {"target_word": word, "context_id": number, "context": context}
            entries.append(about | {"surprisal": pytest.approx(surprisal, abs=1e-5, rel=1e-6)})
    return entries


def test_surprisals_equal_those_of_the_official_code(model, tokenizer, tmp_path):
    write_official_files(tmp_path / "tasks", items=20)
    task = tmp_path / "tasks" / "cdi_childes"
    prepared = prepare(PreparedTasks(), model, tokenizer, task)
    evaluation = Evaluation(prepared, tmp_path / "partial.npz")
    while evaluation.advance(model, seconds=0.0, tokens=64) < 1.0:
        pass
    summary = evaluation.finish()
    entries = summary.predictions["results"]
    assert entries == official(model, tokenizer, task / "cdi_childes.json")
    assert {entry["target_word"] for entry in entries} >= {" ice cream"}
    assert "a" not in {entry["target_word"] for entry in entries}
    result = summary.result
    assert (result.kind, result.metric, result.pairs) == ("aoa", "log_probability", len(entries))
    assert result.score == pytest.approx(-sum(e["surprisal"] for e in entries) / len(entries))


def test_a_word_without_any_token_before_it_has_no_surprisal(tokenizer, tmp_path):
    (tmp_path / "words.json").write_text(
        '{"dogs": [{"context": ""}], "cats": [{"context": "the"}]}'
    )
    contents = read_contents(tmp_path)
    chains = contents.chains(tokenizer)
    sums = [0.0] * contents.num_slots
    values = [
        each["surprisal"] for each in contents.summary(sums, seconds=0.0).predictions["results"]
    ]
    assert len(tokenizer(" dogs")["input_ids"]) == 1
    assert values == [None, -0.0]
    assert len(chains) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"dog": [}', "line 1, column 10 is not JSON"),
        ("[1]", "the file is not a JSON object of words"),
        ('{"dog": {"context": "a"}}', "the word 'dog' has no list of contexts"),
        ('{"dog": [{"context": "a"}, {}]}', "entry 1 of the word 'dog' has no string in field"),
        ('{"a": []}', "contains no item"),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(tmp_path, content, message):
    task = tmp_path / "evaluations" / "aoa"
    task.mkdir(parents=True)
    (task / "cdi_childes.json").write_text(content)
    with pytest.raises(EvaluationInvalid) as caught:
        require_tasks(tmp_path, ["aoa"])
    assert message in caught.value.message
    assert "cdi_childes.json" in caught.value.message
