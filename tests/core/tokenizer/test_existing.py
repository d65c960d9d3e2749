"""Existing tokenizers give the same entries for a text, with other ids, or are refused."""

import json

import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.processors import RobertaProcessing
from tokenizers.trainers import BpeTrainer

from core.errors import TokenizerInvalid
from core.tokenizer.bpe import save_existing
from core.tokenizer.existing import convert, read_existing
from core.tokenizer.loading import load_tokenizer
from core.tokenizer.specials import SPECIAL_TOKENS
from core.tokenizer.units import UnitEncoder

TEXT = "the cat sat on the mat; the caf\u00e9 isn't open </s> 2 1990s \u4e2d\u6587\nthe end\n"


@pytest.fixture(scope="module")
def foreign():
    """A byte-level BPE with special tokens like those of RoBERTa, which have the last ids."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TEXT] * 5, trainer=trainer)
    tokenizer.add_special_tokens(["<s>", "</s>", "<|endoftext|>"])
    ids = {name: tokenizer.token_to_id(name) for name in ("<s>", "</s>")}
    tokenizer.post_processor = RobertaProcessing(("</s>", ids["</s>"]), ("<s>", ids["<s>"]))
    tokenizer.enable_truncation(3)
    return tokenizer


def changed(tokenizer, **changes):
    found = json.loads(tokenizer.to_str())
    for path, value in changes.items():
        place, *names = path.split("__")
        if names:
            found[place][names[0]] = value
        else:
            found[place] = value
    return json.dumps(found).encode()


def test_a_text_keeps_its_entries_and_words_are_counted(foreign, tmp_path):
    (tmp_path / "tokenizer.json").write_text(foreign.to_str())
    existing = read_existing(tmp_path)
    assert read_existing(tmp_path / "tokenizer.json") == existing
    output = tmp_path / "out"
    output.mkdir()
    save_existing(existing, output)
    found = load_tokenizer(output)
    foreign.no_truncation()
    foreign.encode_special_tokens = True
    before = foreign.encode(TEXT, add_special_tokens=False)
    after = found.encode(TEXT, add_special_tokens=True)
    assert after.tokens == before.tokens
    assert found.decode(after.ids) == TEXT
    assert [found.token_to_id(name) for name in SPECIAL_TOKENS] == [0, 1, 2]
    assert found.get_vocab_size() == existing.vocab_size == foreign.get_vocab_size() - 3 + 3
    assert UnitEncoder(found).encode(TEXT).starts.sum() == len(TEXT.split())
    assert convert(existing.content.encode(), "again") == existing


def test_a_tokenizer_of_transformers_is_loaded_with_its_folder(foreign, tmp_path):
    from transformers import AutoTokenizer, GPT2TokenizerFast

    saved = tmp_path / "saved"
    GPT2TokenizerFast(tokenizer_object=foreign).save_pretrained(saved)
    output = tmp_path / "out"
    output.mkdir()
    save_existing(read_existing(saved), output)
    loaded = AutoTokenizer.from_pretrained(output)
    assert loaded.decode(loaded(TEXT)["input_ids"]) == TEXT
    assert (loaded.eos_token_id, loaded.pad_token_id) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model__type": "Unigram"}, "is a Unigram tokenizer"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, "splits text with Metaspace"),
        ({"pre_tokenizer": None}, "splits text with nothing"),
        ({"pre_tokenizer__add_prefix_space": True}, "add_prefix_space"),
        ({"normalizer": {"type": "NFC"}}, r"changes text before it is split \(NFC\)"),
        ({"model__dropout": 0.1}, "a model with dropout"),
        ({"model__vocab": {"a": 0}}, "no entry for 255 of the 256 bytes"),
        ({"model__merges": ["a zz9"]}, "merges 'a' and 'zz9'"),
        ({"model__merges": [7]}, "is no tokenizer.json of Hugging Face"),
        ({"model__merges": ["a b c"]}, "is no tokenizer.json of Hugging Face"),
        ({"model__merges": [["a"]]}, "is no tokenizer.json of Hugging Face"),
        ({"model": 7}, "it has no model"),
        ({"added_tokens": [{"content": "foo", "special": False}]}, "such as 'foo'"),
    ],
)
def test_a_tokenizer_that_cannot_be_used_is_refused_with_the_reason(foreign, changes, reason):
    with pytest.raises(TokenizerInvalid, match=reason):
        convert(changed(foreign, **changes), "tokenizer.json")


def test_what_is_no_tokenizer_is_refused(tmp_path, foreign):
    with pytest.raises(TokenizerInvalid, match="is not JSON"):
        convert(b"[" * 100_000, "tokenizer.json")
    with pytest.raises(TokenizerInvalid, match="nor a folder that has one"):
        read_existing(tmp_path)
    vocabulary = json.loads(foreign.to_str())["model"]["vocab"]
    two = vocabulary | {"a\u0120b": 999}
    with pytest.raises(TokenizerInvalid, match="two words may start"):
        convert(changed(foreign, model__vocab=two), "tokenizer.json")
    with pytest.raises(TokenizerInvalid, match="the same id"):
        convert(changed(foreign, model__vocab=vocabulary | {"ab": 0}), "tokenizer.json")
