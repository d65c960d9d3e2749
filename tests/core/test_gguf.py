"""A GGUF file describes the same model and tokenizer as the checkpoint that it was made from.

The first test builds a model of transformers from only the file. It reads the configuration from
the keys, and finds the weights with gguf's own table of names. Another test uses the reader for
Gemma 2 that transformers has.
"""

import json
import re
import shutil

import gguf
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
)

from core.export.gguf.layout import GEMMA2_27B_LAYERS, reason_refused
from core.export.gguf.vocabulary import VocabularyRefused
from core.export.gguf.write import ExportRefused, write_gguf
from core.spec.job import JobSpec
from core.spec.presets import PRESETS
from core.tokenizer.specials import SPECIAL_TOKENS
from tests.compat.cases import GEMMA2, OLMO2, VOCAB_SIZE, Case, write_checkpoint, write_tokenizer

OLMO2_FILE = OLMO2 | {"attention_bias": False, "hidden_act": "silu"}
GEMMA2_FILE = GEMMA2 | {
    "attention_bias": False,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 12.0,
    "tie_word_embeddings": True,
}
MODELS = {
    "olmo2": OLMO2_FILE,
    "olmo2-tied": OLMO2_FILE | {"tie_word_embeddings": True, "num_key_value_heads": 4},
    "gemma2": GEMMA2_FILE,
}
TEXTS = [
    "the dog  sees\n\nAnna's caf\u00e9 \u65e5\u672c <|endoftext|> !",
    " a b",
    "x\t\u00a0y 12",
    "",
]
KEYS = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "vocab_size": "vocab_size",
}
GEMMA2_KEYS = KEYS | {
    "head_dim": "attention.key_length",
    "query_pre_attn_scalar": "attention.key_length",
    "sliding_window": "attention.sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module", params=MODELS)
def exported(request, tokenizer, tmp_path_factory):
    """The name of a model, its checkpoint, and its GGUF file."""
    root = tmp_path_factory.mktemp("gguf")
    folder = write_checkpoint(Case(MODELS[request.param]), tokenizer, root / "run")
    write_gguf(folder, root / "model.gguf", name="a model")
    assert sorted(path.name for path in root.iterdir()) == ["model.gguf", "run"]
    return request.param, folder, root / "model.gguf"


def value(reader: gguf.GGUFReader, key: str):
    return reader.get_field(key).contents()


def rebuilt(file) -> torch.nn.Module:
    """The model that the file describes."""
    reader = gguf.GGUFReader(file)
    architecture = value(reader, "general.architecture")
    is_gemma = architecture == "gemma2"
    found = {
        name: value(reader, f"{architecture}.{key}")
        for name, key in (GEMMA2_KEYS if is_gemma else KEYS).items()
    }
    theta = value(reader, f"{architecture}.rope.freq_base")
    found["rope_parameters"] = {"rope_type": "default", "rope_theta": theta}
    found["tie_word_embeddings"] = is_gemma  # as in llama.cpp; OLMo 2 has an output layer
    config, model_class = (
        (Gemma2Config(**found), Gemma2ForCausalLM)
        if is_gemma
        else (Olmo2Config(**found), Olmo2ForCausalLM)
    )
    if is_gemma:
        config._attn_implementation = "eager"
    model = model_class(config).eval()
    number = next(each for each, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(number, found["num_hidden_layers"])
    tensors = {tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in reader.tensors}
    state = {}
    for name in model.state_dict():
        if name == "lm_head.weight" and is_gemma:
            continue
        state[name] = tensors.pop(names.get_name(name, try_suffixes=(".weight", ".bias")))
        if is_gemma and name.endswith("norm.weight"):
            state[name] = state[name] - 1
    assert tensors == {}
    missing = model.load_state_dict(state, strict=False)
    assert missing.unexpected_keys == []
    assert set(missing.missing_keys) <= {"lm_head.weight"}
    return model


@torch.no_grad()
def logits(model):
    ids = torch.randint(3, VOCAB_SIZE, (2, 48), generator=torch.Generator().manual_seed(1))
    return model(ids, use_cache=False).logits


def test_the_file_alone_gives_the_same_logits(exported, record_property):
    name, folder, file = exported
    expected = logits(AutoModelForCausalLM.from_pretrained(folder).eval())
    found = logits(rebuilt(file))
    difference = (found - expected).abs().max().item()
    record_property("difference", difference)
    # The export adds 1 to the norms of Gemma 2. `rebuilt` subtracts it, which rounds the norms.
    assert difference == 0 if name.startswith("olmo2") else difference < 1e-5, difference


def test_the_reader_of_transformers_gives_the_logits_of_gemma2(exported, record_property):
    name, folder, file = exported
    if name != "gemma2":
        pytest.skip("transformers reads no GGUF file of OLMo 2")
    expected = logits(AutoModelForCausalLM.from_pretrained(folder).eval())
    read = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        attn_implementation="eager",
        query_pre_attn_scalar=12,  # transformers reads no key for these three fields
        attn_logit_softcapping=1.5,
        final_logit_softcapping=2.5,
    )
    assert (logits(read.eval()) - expected).abs().max().item() < 1e-5


def test_the_vocabulary_of_the_file_splits_text_as_the_tokenizer_does(exported):
    _, folder, file = exported
    reader = gguf.GGUFReader(file)
    assert value(reader, "tokenizer.ggml.model") == "gpt2"
    assert value(reader, "tokenizer.ggml.pre") == "gpt-2"
    tokens = value(reader, "tokenizer.ggml.tokens")
    merges = [tuple(each.split(" ")) for each in value(reader, "tokenizer.ggml.merges")]
    assert len(tokens) == VOCAB_SIZE
    vocabulary = {text: number for number, text in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    kinds = value(reader, "tokenizer.ggml.token_type")
    special = [text for text, kind in zip(tokens, kinds, strict=True) if kind == 3]
    made.add_special_tokens([AddedToken(text, normalized=False) for text in special])
    expected = AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert made.encode(text).ids == expected(text)["input_ids"], text
    assert special == list(SPECIAL_TOKENS)
    for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")):
        number = value(reader, f"tokenizer.ggml.{key}_token_id")
        assert number == getattr(expected, f"{name}_token_id")
    assert not value(reader, "tokenizer.ggml.add_bos_token")


@pytest.mark.parametrize(
    ("architecture", "fields", "reason"),
    [
        ("llama4", {}, "llama4 cannot be exported as GGUF: llama.cpp always computes Llama 4"),
        ("gpt2", {}, "the export supports olmo2, gemma2"),
        ("olmo2", {"attention_bias": True}, "ignores the biases"),
        ("olmo2", {"hidden_act": "gelu"}, "hidden_act is gelu, and llama.cpp always computes silu"),
        ("gemma2", {"attention_bias": True}, "ignores the biases"),
        ("gemma2", {"hidden_activation": "gelu"}, "always computes gelu_pytorch_tanh"),
        ("gemma2", {"tie_word_embeddings": False}, "always shares the embeddings"),
        ("gemma2", {"attn_logit_softcapping": None}, "attn_logit_softcapping is null"),
        ("gemma2", {"query_pre_attn_scalar": 20.0}, "is 20, and llama.cpp always computes with 12"),
        ("gemma2", {"num_hidden_layers": GEMMA2_27B_LAYERS}, "is 12, and .* computes with 8"),
    ],
)
def test_a_model_that_llama_cpp_would_compute_differently_is_refused(architecture, fields, reason):
    model = {"olmo2": OLMO2_FILE, "gemma2": GEMMA2_FILE}.get(architecture, {})
    assert model == {} or reason_refused(architecture, model) is None
    found = reason_refused(architecture, model | fields)
    assert re.search(reason, found), found


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_of_olmo2_and_gemma2_can_be_exported(preset):
    model = JobSpec.model_validate({"preset": preset}).resolve().model
    refused = reason_refused(model.architecture, model.model_dump())
    assert (refused is not None) is (model.architecture == "llama4"), refused


def test_other_tokenizers_and_sizes_are_refused(exported, tmp_path):
    _, folder, _ = exported
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    tokenizer = json.loads((copy / "tokenizer.json").read_bytes())
    for change, reason in (
        ({"normalizer": {"type": "NFC"}}, "changes text with the normalizer NFC"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, "splits text with Metaspace"),
        ({"model": tokenizer["model"] | {"ignore_merges": True}}, "ignore_merges"),
    ):
        (copy / "tokenizer.json").write_text(json.dumps(tokenizer | change))
        with pytest.raises(VocabularyRefused, match=reason):
            write_gguf(copy, tmp_path / "none.gguf", name="x")
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((copy / "config.json").read_bytes())
    (copy / "config.json").write_text(json.dumps(config | {"vocab_size": 99}))
    with pytest.raises(ExportRefused, match="291 entries, which is more than the 99 embeddings"):
        write_gguf(copy, tmp_path / "none.gguf", name="x")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_file_that_cannot_be_written_leaves_no_part(exported, tmp_path):
    _, folder, _ = exported
    (tmp_path / "model.gguf").mkdir()
    with pytest.raises(IsADirectoryError):
        write_gguf(folder, tmp_path / "model.gguf", name="x")
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
