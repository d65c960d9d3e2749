"""Exported checkpoints give the same results in other releases of transformers (`make compat`)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.archs import ARCHITECTURES
from tests.compat.cases import CASES, LENGTH, VOCAB_SIZE, write_checkpoint, write_tokenizer
from tests.compat.environments import ENVIRONMENTS, PIN, is_built, python_of

PROBE = Path(__file__).with_name("probe.py")
TOLERANCE = 1e-5
PROBE_SECONDS = 300
TEXTS = ["the dog  sees\n\nAnna's café 日本 <|endoftext|> !", " a b", ""]
NUMBERS = ("logits", "padded_logits", "unmasked_logits", "loss")
SAME = ("ids", "offsets", "decoded", "generated", "model_max_length", "parameters", "dtype")

pytestmark = [pytest.mark.compat, pytest.mark.timeout(2 * PROBE_SECONDS)]


def ask(python: str, folder: Path, checkpoints: dict[str, Path]) -> dict:
    """The results of the checkpoints in the environment of `python`."""
    folder.mkdir()
    inputs = torch.randint(3, VOCAB_SIZE, (2, LENGTH), generator=torch.Generator().manual_seed(1))
    request = {
        "texts": TEXTS,
        "inputs": inputs.tolist(),
        "padding": 5,
        "prompt_length": 40,
        "new_tokens": 12,
        "cases": {
            name: {"folder": str(path), "resave": str(folder / name)}
            for name, path in checkpoints.items()
        },
    }
    (folder / "request.json").write_text(json.dumps(request))
    command = [python, "-I", str(PROBE), str(folder / "request.json"), str(folder / "answer.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "answer.json").read_text())


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    if not any(map(is_built, ENVIRONMENTS)):
        pytest.skip("no environment of .compat is there; make compat builds them")
    root = tmp_path_factory.mktemp("compat")
    tokenizer = write_tokenizer(root)
    return {name: write_checkpoint(case, tokenizer, root / name) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def own(checkpoints, tmp_path_factory):
    """The answer of the service's own environment."""
    answer = ask(sys.executable, tmp_path_factory.mktemp("own") / "probe", checkpoints)
    assert [name for name, case in answer["cases"].items() if "error" in case] == []
    return answer["cases"]


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def environment(request, checkpoints, tmp_path_factory):
    """Name of an environment, its answer, and the folder with its re-saved files."""
    name = request.param
    if not is_built(name):
        pytest.skip(f"the environment {name} is not there; make compat builds it")
    folder = tmp_path_factory.mktemp(name) / "probe"
    return name, ask(python_of(name), folder, checkpoints), folder


def differences(theirs: dict, ours: dict) -> dict[str, float]:
    """The largest absolute difference of each result, such as the logits."""
    return {
        key: (torch.tensor(theirs[key]) - torch.tensor(ours[key])).abs().max().item()
        for key in NUMBERS
    }


@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_means_the_same_or_is_warned_of(environment, own, case, record_property):
    name, answer, _ = environment
    theirs, ours = answer["cases"][case], own[case]
    if name in CASES[case].differs_in:
        # The export warns about this environment, so the results must really differ.
        assert "error" in theirs or max(differences(theirs, ours).values()) > 1e-3
        return
    assert "error" not in theirs, theirs.get("error")
    found = differences(theirs, ours)
    record_property("differences", found)
    assert max(found.values()) <= TOLERANCE, found
    assert {key: theirs[key] for key in SAME} == {key: ours[key] for key in SAME}


def test_the_official_environment_is_the_one_that_warnings_speak_of(environment):
    name, answer, _ = environment
    if name == PIN:
        assert (answer["transformers"], answer["tokenizers"]) == ("4.51.3", "0.21.1")


def test_a_tokenizer_that_any_release_saved_again_loads_as_the_documents_say(
    environment, own, tmp_path
):
    name, answer, folder = environment
    is_5 = answer["transformers"].startswith("5.")
    for case in CASES:
        config = json.loads((folder / case / "tokenizer_config.json").read_text())
        # docs/tokens.md: transformers 5 loads every OLMo 2 tokenizer as TokenizersBackend.
        is_renamed = is_5 and case.startswith("olmo2")
        expected = "TokenizersBackend" if is_renamed else "GPT2Tokenizer"
        assert config["tokenizer_class"] == expected, (name, case)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_field_has_a_case_at_another_value_than_its_default(architecture):
    fields = ARCHITECTURES[architecture].model_fields
    models = [c.model for c in CASES.values() if c.model["architecture"] == architecture]
    for name, field in fields.items():
        if name != "architecture":
            assert any(model.get(name, field.default) != field.default for model in models), name
