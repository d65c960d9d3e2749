"""Writes a checkpoint as one GGUF file in float32, with the writer and names of package gguf."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors import safe_open

from core.export.gguf.layout import LAYOUTS, Layout, reason_refused
from core.export.gguf.vocabulary import MODEL, SPLITTING, Vocabulary, read_vocabulary
from core.storage.model_files import CONFIG_FILE, WEIGHTS_FILE
from core.tokenizer.specials import UNKNOWN

EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"
SUFFIXES = (".weight", ".bias")
Config = dict[str, Any]
"""The content of `config.json`."""


class ExportRefused(Exception):
    """The model cannot be exported; the message says why."""


@dataclass(frozen=True)
class Written:
    """The sizes of the file."""

    tensors: int
    parameters: int
    bytes: int


def write_gguf(folder: Path, output: Path, *, name: str) -> Written:
    """Writes the checkpoint in `folder` to the file `output`, which appears only when complete.

    Args:
        folder: A checkpoint: `config.json`, `model.safetensors` and `tokenizer.json`.
        output: The file; an existing one is replaced.
        name: `general.name` of the file.

    Raises:
        ExportRefused: If llama.cpp would compute other logits than the model, or if the tokenizer
            has more entries than the model has embeddings.
        VocabularyRefused: If llama.cpp would not split text as the tokenizer does.
        OSError: If a file is missing, or cannot be written.
    """
    config = json.loads((folder / CONFIG_FILE).read_bytes())
    if reason := reason_refused(config["model_type"], config):
        raise ExportRefused(reason)
    if _rope_type(config) != "default":
        raise ExportRefused(
            f"the model has rotary embeddings of the type {_rope_type(config)}, and the export "
            "supports only the type default"
        )
    vocabulary = read_vocabulary(folder)
    if len(vocabulary.tokens) > config["vocab_size"]:
        raise ExportRefused(
            f"the tokenizer has {len(vocabulary.tokens):,} entries, which is more than the "
            f"{config['vocab_size']:,} embeddings of the model"
        )
    part = output.with_name(output.name + ".part")
    try:
        tensors, parameters = _write(part, folder, name, config, vocabulary)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)  # it exists only if the file could not be written
    return Written(tensors, parameters, output.stat().st_size)


def _write(
    file: Path, folder: Path, name: str, config: Config, vocabulary: Vocabulary
) -> tuple[int, int]:
    """Writes the file; returns its number of tensors and of parameters."""
    architecture = config["model_type"]
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _add_parameters(writer, config)
    _add_vocabulary(writer, vocabulary, config)
    count = parameters = 0
    for tensor_name, tensor in _tensors(folder, config, LAYOUTS[architecture]):
        writer.add_tensor(tensor_name, tensor)
        count, parameters = count + 1, parameters + tensor.size
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return count, parameters


def _rope_type(config: Config) -> str:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return str(rope.get("rope_type", "default"))


def _add_parameters(writer: gguf.GGUFWriter, config: Config) -> None:
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if config["model_type"] == "gemma2":
        writer.add_sliding_window(config["sliding_window"])
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary, config: Config) -> None:
    kinds = [
        gguf.TokenType.CONTROL if number in vocabulary.specials else gguf.TokenType.NORMAL
        for number in range(len(vocabulary.tokens))
    ]
    # llama.cpp takes the number of embeddings from the token list, so unused tokens fill it up.
    unused = [f"[PAD{number}]" for number in range(len(kinds), config["vocab_size"])]
    kinds += [gguf.TokenType.UNUSED] * len(unused)
    writer.add_tokenizer_model(MODEL)
    writer.add_tokenizer_pre(SPLITTING)
    writer.add_token_list([*vocabulary.tokens, *unused])
    writer.add_token_types(kinds)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    if UNKNOWN in vocabulary.tokens:
        writer.add_unk_token_id(vocabulary.tokens.index(UNKNOWN))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)


def _tensors(
    folder: Path, config: Config, layout: Layout
) -> Iterator[tuple[str, np.ndarray[Any, np.dtype[np.float32]]]]:
    """The tensors in float32 under the names of gguf."""
    architecture = next(
        number for number, each in gguf.MODEL_ARCH_NAMES.items() if each == config["model_type"]
    )
    names = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
    with safe_open(folder / WEIGHTS_FILE, framework="np") as file:
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name).astype(np.float32, copy=False)
            if tensor.ndim == 1 and layout.norm_offset:  # only norms are vectors
                tensor = tensor + np.float32(layout.norm_offset)
            yield _named(names, name), tensor
        if config["tie_word_embeddings"] and layout.copies_tied_output:
            yield _named(names, OUTPUT), file.get_tensor(EMBEDDING).astype(np.float32, copy=False)


def _named(names: gguf.TensorNameMap, name: str) -> str:
    found: str | None = names.get_name(name, try_suffixes=SUFFIXES)
    if found is None:
        raise ExportRefused(f"gguf has no name for the tensor {name}")
    return found
