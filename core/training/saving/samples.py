"""Samples of text that the model generates at each validation."""

from collections.abc import Iterator

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.checkpoints.generate import continue_text
from core.events.types import SampleData
from core.spec.training import TrainingSpec
from core.training.model.attention.select import eager_mode, library_attention

SAMPLE_TEMPERATURE, SAMPLE_TOP_K = 0.8, 50


def sample_texts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, training: TrainingSpec, *, step: int
) -> Iterator[SampleData]:
    """The continuation of each prompt in `training.sample_prompts`."""
    for prompt in training.sample_prompts:
        with eager_mode(model), library_attention(model):
            text = continue_text(
                model,
                tokenizer,
                prompt,
                max_new_tokens=training.sample_max_new_tokens,
                temperature=SAMPLE_TEMPERATURE,
                top_k=SAMPLE_TOP_K,
                seed=training.seed,
            )
        yield SampleData(step=step, prompt=prompt, text=text)
