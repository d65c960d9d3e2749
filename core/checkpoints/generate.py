"""Text generation from a checkpoint, and a cache of loaded checkpoints."""

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from core.checkpoints.model import quiet_transformers
from core.errors import CheckpointMissing
from core.tokenizer.specials import END_OF_TEXT_ID, PAD_ID

WARM_MODELS = 2
"""Maximum number of checkpoints in the cache."""
PARTIAL_SECONDS = 0.15
"""Minimum seconds between two partial texts. Partial texts are limited, because each of them is
written to the database."""
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
"""The character that the decoder returns if the last bytes of a character are in the next token."""


@torch.no_grad()
def continue_text(
    model: PreTrainedModel,
    tokenizer: Any,  # Any, because tokenizers share no type in transformers 4 and 5
    prompt: str,
    *,
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    seed: int,
    on_text: Callable[[str], None] | None = None,
) -> str:
    """The prompt and its continuation by the model, up to `<|endoftext|>`.

    The same seed gives the same text. Temperature 0 means greedy decoding. With an empty prompt the
    model starts a new text. The function preserves the random state of the caller. It calls
    `on_text` a few times per second with the prompt and the continuation so far.
    """
    ids = [END_OF_TEXT_ID, *tokenizer(prompt)["input_ids"]]
    room = model.config.max_position_embeddings
    ids = ids[-max(1, room - max_new_tokens) :]
    inputs = torch.tensor([ids], device=model.device)  # (1, T)
    options: dict[str, Any] = {"do_sample": temperature > 0.0}  # keyword arguments of `generate`
    if temperature > 0.0:
        options |= {"temperature": temperature, "top_k": top_k or 0, "top_p": 1.0}
    if on_text is not None:
        options["streamer"] = _PartialText(tokenizer, prompt, on_text)
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


class _PartialText(BaseStreamer):  # type: ignore[misc]  # untyped in transformers
    """Decodes the tokens of a running `generate` call."""

    def __init__(
        self,
        tokenizer: Any,  # Any, because tokenizers share no type in transformers 4 and 5
        prompt: str,
        on_text: Callable[[str], None],
    ) -> None:
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._on_text = on_text
        self._ids: list[int] = []
        self._has_prompt = False
        self._reported_at = float("-inf")

    def put(self, value: torch.Tensor) -> None:
        """Receives the ids of the prompt, then each new id; `generate` calls this method."""
        if not self._has_prompt:
            self._has_prompt = True
            return
        self._ids += value.flatten().tolist()
        if time.monotonic() - self._reported_at < PARTIAL_SECONDS:
            return
        self._reported_at = time.monotonic()
        text: str = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        self._on_text(self._prompt + text.rstrip(INCOMPLETE))

    def end(self) -> None:
        """Does nothing: the caller of `generate` has the complete text."""


class WarmModels:
    """Cache of the most recently used checkpoints."""

    def __init__(self) -> None:
        quiet_transformers()
        self._warm: OrderedDict[Path, tuple[PreTrainedModel, Any]] = OrderedDict()

    def load(self, folder: Path) -> tuple[PreTrainedModel, Any]:
        """The model and the tokenizer of a checkpoint; see `load_checkpoint`.

        Raises:
            CheckpointMissing: If the folder contains no checkpoint.
        """
        if folder not in self._warm:
            if not (folder / "config.json").is_file():
                raise CheckpointMissing(f"the checkpoint {folder.name} does not exist any more")
            self._warm[folder] = load_checkpoint(folder)
        self._warm.move_to_end(folder)
        while len(self._warm) > WARM_MODELS:
            self._warm.popitem(last=False)
        return self._warm[folder]


def load_checkpoint(folder: Path) -> tuple[PreTrainedModel, Any]:
    """The model (in evaluation mode, on the CPU) and the tokenizer of a checkpoint."""
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    model.eval()
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)
