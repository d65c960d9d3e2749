"""Loads checkpoints with one release of transformers.

Usage: PYTHON probe.py REQUEST ANSWER. PYTHON is the interpreter of the environment that has this
release; REQUEST and ANSWER are paths of JSON files. The program imports nothing of this project.
"""

import json
import sys
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(request_path: str, answer_path: str) -> None:
    """Answers each entry of the request; an exception is recorded as an answer."""
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    request = json.loads(Path(request_path).read_text())
    answer: dict[str, Any] = {
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "cases": {},
    }
    for name, case in request["cases"].items():
        try:
            answer["cases"][name] = probe(Path(case["folder"]), case, request)
        except Exception as error:
            answer["cases"][name] = {"error": f"{type(error).__name__}: {error}"[:500]}
    Path(answer_path).write_text(json.dumps(answer))


def probe(folder: Path, case: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Logits, loss and generated ids of a checkpoint; ids and offsets from its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    encoded = [tokenizer(text, return_offsets_mapping=True) for text in request["texts"]]
    answer: dict[str, Any] = {
        "tokenizer_class": type(tokenizer).__name__,
        "model_max_length": tokenizer.model_max_length,
        "ids": [entry["input_ids"] for entry in encoded],
        "offsets": [entry["offset_mapping"] for entry in encoded],
        "decoded": [tokenizer.decode(entry["input_ids"]) for entry in encoded],
    }
    if case.get("resave"):
        tokenizer.save_pretrained(case["resave"])
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    inputs = torch.tensor(request["inputs"])  # (B, T)
    mask = torch.ones_like(inputs)
    with torch.no_grad():
        # As an evaluation calls the model: with mask, labels, and the cache setting of config.json.
        output = model(input_ids=inputs, attention_mask=mask, labels=inputs)
        padded_mask = mask.clone()
        padded_mask[1, -request["padding"] :] = 0
        padded = model(input_ids=inputs, attention_mask=padded_mask).logits
        unmasked = model(input_ids=inputs).logits
        prompt = inputs[:1, : request["prompt_length"]]
        written = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=request["new_tokens"],
            min_new_tokens=request["new_tokens"],
            do_sample=False,
        )
    answer |= {
        "dtype": str(model.dtype),
        "attention": model.config._attn_implementation,
        "parameters": model.num_parameters(),
        "logits": output.logits.float().tolist(),
        "padded_logits": padded[1, : -request["padding"]].float().tolist(),
        "unmasked_logits": unmasked.float().tolist(),
        "loss": output.loss.item(),
        "generated": written[0, prompt.shape[1] :].tolist(),
    }
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
