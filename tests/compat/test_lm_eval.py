"""lm-eval takes exported checkpoints as they are, and scores sentences as the service does."""

import json
import math
import os
import subprocess
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from core.archs import ARCHITECTURES
from core.checkpoints.surprisal import text_surprisal
from core.export.check import load_plain
from core.tokenizer.specials import END_OF_TEXT
from tests.compat.cases import CASES, write_checkpoint, write_tokenizer
from tests.compat.environments import LM_EVAL, is_built, python_of

PROBE = Path(__file__).with_name("lm_eval_probe.py")
PROBE_SECONDS = 300
TOLERANCE = 1e-4
"""Maximum difference, in nats, between two sums of log-probabilities. The measured difference is
7e-6, because lm-eval adds in float32."""
SENTENCES = ["the dog sees the cat.", "Anna likes a caf\u00e9  here!\n\nthe old dog."]
PAIRS = [["the dog", " sees the cat."], ["Anna likes", " the old dog."]]

pytestmark = [pytest.mark.compat, pytest.mark.timeout(2 * PROBE_SECONDS)]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    if not is_built(LM_EVAL):
        pytest.skip(f"the environment {LM_EVAL} is not there; make compat builds it")
    root = tmp_path_factory.mktemp("lm-eval")
    tokenizer = write_tokenizer(root)
    return {name: write_checkpoint(CASES[name], tokenizer, root / name) for name in ARCHITECTURES}


@pytest.fixture(scope="module")
def answer(checkpoints, tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    folders = {name: str(path) for name, path in checkpoints.items()}
    request = {"folders": folders, "sentences": SENTENCES, "pairs": PAIRS}
    (folder / "request.json").write_text(json.dumps(request))
    command = [python_of(LM_EVAL), "-I", str(PROBE)]
    command += [str(folder / "request.json"), str(folder / "answer.json")]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PROBE_SECONDS,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "answer.json").read_text())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lm_eval_scores_text_as_the_service_does(
    checkpoints, answer, architecture, record_property
):
    theirs = answer[architecture]
    assert "error" not in theirs, theirs["error"]
    assert theirs["model"] == ARCHITECTURES[architecture].model_class
    model, _ = load_plain(checkpoints[architecture])
    tokenizer = AutoTokenizer.from_pretrained(checkpoints[architecture], local_files_only=True)

    def log_probability(text: str) -> float:
        bits = text_surprisal(model, tokenizer, text, alternatives=1)["surprisal"]
        return -bits * math.log(2)

    # lm-eval begins a sentence with the end-of-text token, and scores every token of the sentence.
    ours = [log_probability(END_OF_TEXT + text) for text in SENTENCES]
    ours += [log_probability(text + rest) - log_probability(text) for text, rest in PAIRS]
    found = [*theirs["sentences"], *theirs["pairs"]]
    differences = [abs(mine - other) for mine, other in zip(ours, found, strict=True)]
    record_property("differences", differences)
    assert max(differences) <= TOLERANCE, differences
