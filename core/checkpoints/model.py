"""Builds Hugging Face models from architectures; saves and loads weights and configurations."""

import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from core.archs import Architecture
from core.checkpoints.export_config import config_text, exported_config
from core.storage.model_files import CONFIG_FILE
from core.tokenizer.specials import END_OF_TEXT_ID, PAD_ID


def quiet_transformers() -> None:
    """Turns off warnings and progress bars of transformers in the log of a run."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def build_model(architecture: Architecture, *, vocab_size: int, seed: int) -> PreTrainedModel:
    """The model with newly initialized float32 weights, in training mode.

    transformers initializes the weights. They depend on the architecture, the vocabulary, `seed`
    and the versions of torch and transformers.
    """
    config_class = getattr(transformers, architecture.config_class)
    config = config_class(
        **architecture.config_arguments(vocab_size=vocab_size),
        bos_token_id=END_OF_TEXT_ID,
        eos_token_id=END_OF_TEXT_ID,
        pad_token_id=PAD_ID,
    )
    torch.manual_seed(seed)
    model_class = getattr(transformers, architecture.model_class)
    model: PreTrainedModel = model_class(config)
    model.train()
    return model


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Enables activation checkpointing: the backward pass recomputes activations."""
    # transformers 5 renamed the method and warns about the old name.
    enable = getattr(model, "activation_checkpointing_enable", None)
    (enable or model.gradient_checkpointing_enable)()


def save_weights(model: PreTrainedModel, path: Path) -> None:
    """Writes the weights as float32 safetensors.

    If the output layer and the embedding share one matrix, the file contains it only once.
    """
    tensors = {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in model.state_dict().items()
        if not (name == "lm_head.weight" and model.config.tie_word_embeddings)
    }
    # transformers 4 rejects a file if its metadata does not name the framework.
    save_file(tensors, path, metadata={"format": "pt"})


def load_weights(model: PreTrainedModel, path: Path) -> None:
    """Loads weights written by `save_weights` into a model of the same shape.

    Raises:
        RuntimeError: If a tensor is missing or unknown, or has another shape.
    """
    tensors = load_file(path)
    if model.config.tie_word_embeddings:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    model.load_state_dict(tensors, strict=True)


def save_config(model: PreTrainedModel, folder: Path, architecture: Architecture) -> None:
    """Writes `config.json` and `generation_config.json` for both transformers 4 and 5."""
    model.config.architectures = [type(model).__name__]
    model.config.dtype = "float32"
    model.config.save_pretrained(folder)
    path = folder / CONFIG_FILE
    config = exported_config(json.loads(path.read_text(encoding="utf-8")), architecture)
    path.write_text(config_text(config), encoding="utf-8")
    if model.generation_config is not None:
        model.generation_config.use_cache = True
        model.generation_config.save_pretrained(folder)
