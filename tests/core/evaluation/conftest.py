import pytest
import torch
from transformers import AutoTokenizer, Olmo2Config, Olmo2ForCausalLM

from core.spec.job import TokenizerSpec
from core.tokenizer.bpe import train_bpe

WORDS = ["dog", "dogs", "cat", "cats", "run", "runs", "see", "sees", "the", "a", "near", "home"]


def sentence(number: int) -> str:
    return " ".join(WORDS[(number * 7 + k * (number + 3)) % 12] for k in range(3 + number % 6))


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    text = folder / "text.txt"
    text.write_text("\n".join(sentence(number) for number in range(300)) + "\n")
    train_bpe(
        [text],
        spec=TokenizerSpec(vocab_size=300),
        output=folder,
        progress=lambda _: None,
        should_stop=lambda: False,
    )
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def model():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = Olmo2Config(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        pad_token_id=None,
    )
    made = Olmo2ForCausalLM(config)
    with torch.no_grad():  # makes predictions far from uniform, so that errors show
        made.lm_head.weight.mul_(30)
    return made.eval()
