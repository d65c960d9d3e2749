"""Text from a checkpoint: a function, and a program that keeps models warm.

    python -m core.generate

reads a JSON line a request on standard input and answers each with a JSON line on standard output;
it ends when its input does.
"""

import json
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any, TextIO

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from core.errors import CheckpointMissing, RunError
from core.tokenizer.specials import END_OF_TEXT_ID, PAD_ID
from core.training.model import quiet_transformers

WARM_MODELS = 2


class GenerateRequest(BaseModel):
    """What to continue, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    checkpoint_dir: Path
    prompt: str = Field(max_length=20_000)
    max_new_tokens: int = Field(default=100, ge=1, le=4096)
    temperature: float = Field(default=0.8, ge=0.0, le=10.0)
    top_k: int | None = Field(default=50, ge=1, le=1_000_000)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)


@torch.no_grad()
def continue_text(
    model: PreTrainedModel,
    tokenizer: Any,  # Any: transformers' tokenizers share no public type in 4 and 5
    prompt: str,
    *,
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    seed: int,
) -> str:
    """The prompt and what the model writes after it, up to the end of its text.

    The same seed gives the same text; temperature 0 takes the likeliest token. An empty prompt
    starts a text. The random state of the caller is left as it was.
    """
    ids = [END_OF_TEXT_ID, *tokenizer(prompt)["input_ids"]]
    room = model.config.max_position_embeddings
    ids = ids[-max(1, room - max_new_tokens) :]
    inputs = torch.tensor([ids], device=model.device)  # (1, T)
    options: dict[str, Any] = {"do_sample": temperature > 0.0}  # Any: generate's keywords
    if temperature > 0.0:
        options |= {"temperature": temperature, "top_k": top_k or 0, "top_p": 1.0}
    was_training = model.training
    model.eval()
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        written = model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=max_new_tokens,
            pad_token_id=PAD_ID,
            eos_token_id=END_OF_TEXT_ID,
            use_cache=True,
            **options,
        )
    model.train(was_training)
    text: str = tokenizer.decode(written[0, len(ids) :], skip_special_tokens=True)
    return prompt + text


class Generator:
    """Answers requests, with the last models kept in memory."""

    def __init__(self) -> None:
        self._warm: OrderedDict[Path, tuple[PreTrainedModel, Any]] = OrderedDict()

    def answer(self, line: str) -> dict[str, Any]:  # Any: JSON
        """The answer to one line of input; a refusal is an answer too."""
        try:
            request = GenerateRequest.model_validate_json(line)
        except ValidationError as error:
            return {"id": _id_of(line), "error": _problem("request_invalid", str(error), "")}
        try:
            model, tokenizer = self._load(request.checkpoint_dir)
            text = continue_text(
                model,
                tokenizer,
                request.prompt,
                **request.model_dump(exclude={"id", "checkpoint_dir", "prompt"}),
            )
        except RunError as error:
            return {"id": request.id, "error": _problem(error.code, error.message, error.hint)}
        except Exception as error:  # the border of the process: one bad request is not its end
            message = f"{type(error).__name__}: {error}"
            return {"id": request.id, "error": _problem("internal_error", message, "")}
        return {"id": request.id, "text": text}

    def _load(self, folder: Path) -> tuple[PreTrainedModel, Any]:
        if folder not in self._warm:
            if not (folder / "config.json").is_file():
                raise CheckpointMissing(f"there is no checkpoint in {folder}")
            self._warm[folder] = load_checkpoint(folder)
        self._warm.move_to_end(folder)
        while len(self._warm) > WARM_MODELS:
            self._warm.popitem(last=False)
        return self._warm[folder]


def load_checkpoint(folder: Path) -> tuple[PreTrainedModel, Any]:
    """Model, ready to evaluate, and tokenizer of a checkpoint, on the CPU."""
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    model.eval()
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answers each line of `requests` until there are no more."""
    quiet_transformers()
    generator = Generator()
    for line in requests:
        if line.strip():
            answers.write(json.dumps(generator.answer(line)) + "\n")
            answers.flush()


def _id_of(line: str) -> str | None:
    try:
        request = json.loads(line)
    except ValueError:
        return None
    return str(request.get("id")) if isinstance(request, dict) else None


def _problem(code: str, message: str, hint: str) -> dict[str, str]:
    return {"code": code, "message": message[:2000], "hint": hint}


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
