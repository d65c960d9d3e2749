"""Scores text with lm-eval's loader of Hugging Face models.

Usage: PYTHON lm_eval_probe.py REQUEST ANSWER. PYTHON is the interpreter of the environment that has
lm-eval; REQUEST and ANSWER are paths of JSON files. The program imports nothing of this project.
The loader gets only the folder of a checkpoint.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM


def main(request_path: str, answer_path: str) -> None:
    """Answers each folder of the request; an exception is recorded as an answer."""
    torch.set_num_threads(1)
    request = json.loads(Path(request_path).read_text())
    answer: dict[str, Any] = {}
    for name, folder in request["folders"].items():
        try:
            answer[name] = score(folder, request["sentences"], request["pairs"])
        except Exception as error:
            answer[name] = {"error": f"{type(error).__name__}: {error}"[:500]}
    Path(answer_path).write_text(json.dumps(answer))


def score(folder: str, sentences: list[str], pairs: list[list[str]]) -> dict[str, Any]:
    """Log-likelihoods in nats: of whole sentences, and of continuations of contexts."""
    model = HFLM(pretrained=folder, device="cpu", batch_size=2)
    whole = [_instance("loglikelihood_rolling", (text,), at) for at, text in enumerate(sentences)]
    given = [_instance("loglikelihood", tuple(pair), at) for at, pair in enumerate(pairs)]
    return {
        "model": type(model.model).__name__,
        "sentences": model.loglikelihood_rolling(whole, disable_tqdm=True),
        "pairs": [value for value, _ in model.loglikelihood(given, disable_tqdm=True)],
    }


def _instance(kind: str, arguments: tuple[str, ...], index: int) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=index)


if __name__ == "__main__":
    main(*sys.argv[1:])
