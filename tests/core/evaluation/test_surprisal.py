"""Surprisal by token, and partial texts during generation, for the dashboard's playground."""

import io
import json
import math

import pytest

from core.checkpoints.generate import continue_text
from core.checkpoints.surprisal import text_surprisal
from core.errors import EvaluationInvalid
from core.evaluation.scoring import sentence_scores
from core.short import serve
from tests.core.evaluation.conftest import sentence

OPTIONS = {"max_new_tokens": 20, "temperature": 0.8, "top_k": 50, "seed": 3}


def test_the_surprisals_of_a_text_add_up_to_its_score_in_the_evaluation(model, tokenizer):
    text = sentence(5)
    scored = text_surprisal(model, tokenizer, text, alternatives=3)
    bits = [token["surprisal"] for token in scored["tokens"]]
    assert bits[0] is None
    assert all(value > 0.0 for value in bits[1:])
    [score] = sentence_scores(model, tokenizer, [text])
    assert scored["surprisal"] == pytest.approx(-score / math.log(2), abs=1e-3)
    assert math.fsum(bits[1:]) == pytest.approx(scored["surprisal"])


def test_the_tokens_cover_the_text_and_list_the_most_probable_alternatives(model, tokenizer):
    text = sentence(4)
    tokens = text_surprisal(model, tokenizer, text, alternatives=300)["tokens"]
    assert "".join(token["text"] for token in tokens).replace(" ", "") == text.replace(" ", "")
    for token in tokens[1:]:
        shares = [each["probability"] for each in token["alternatives"]]
        assert shares == sorted(shares, reverse=True)
        assert math.fsum(shares) == pytest.approx(1.0)
        assert any(math.isclose(2 ** -token["surprisal"], share) for share in shares)


def test_a_text_of_one_token_has_nothing_to_score(model, tokenizer):
    scored = text_surprisal(model, tokenizer, "a", alternatives=3)
    assert scored["surprisal"] == 0.0
    assert [token["surprisal"] for token in scored["tokens"]] == [None]


def test_a_text_longer_than_the_model_reads_is_refused_with_both_lengths(model, tokenizer):
    text = "a dog " * 64
    with pytest.raises(EvaluationInvalid, match=r"has \d+ tokens; the model reads at most 64"):
        text_surprisal(model, tokenizer, text, alternatives=3)


def test_partial_texts_grow_into_the_text_that_is_generated_without_streaming(model, tokenizer):
    partial: list[str] = []
    streamed = continue_text(model, tokenizer, "the dog", on_text=partial.append, **OPTIONS)
    assert streamed == continue_text(model, tokenizer, "the dog", **OPTIONS)
    assert partial
    assert all(text.startswith("the dog") for text in partial)
    assert len(streamed) >= len(partial[-1])


def test_the_short_program_writes_partial_lines_before_the_answer(model, tokenizer, tmp_path):
    folder = tmp_path / "last"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    request = {"checkpoint_dir": str(folder), "kind": "generate", "prompt": "the", **OPTIONS}
    texts = {"kind": "surprisal", "checkpoint_dir": str(folder), "texts": ["the dog runs"]}
    lines = [{"id": "1", **request, "stream": True}, {"id": "2", **request}, {"id": "3", **texts}]
    answers = io.StringIO()
    serve(io.StringIO("".join(json.dumps(line) + "\n" for line in lines)), answers)
    written = [json.loads(line) for line in answers.getvalue().splitlines()]
    streamed = [line for line in written if line["id"] == "1"]
    assert all("partial" in line for line in streamed[:-1])
    assert len(streamed) > 1
    [whole] = [line for line in written if line["id"] == "2"]
    assert streamed[-1]["text"] == whole["text"]
    [scored] = [line for line in written if line["id"] == "3"]
    assert scored["texts"][0]["surprisal"] > 0.0
