"""Estimates the memory, disk space and time of a job from its spec and number of words.

This module does not import torch.

Shapes: P parameters, L layers, D hidden size, F MLP width, H heads, d head width, V vocabulary,
b sequences in a micro-batch, T tokens in a sequence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from core.spec.job import JobSpec
from core.spec.optimizers import OPTIMIZERS
from core.spec.plan import Plan, make_plan, milestones

FLOAT32_BYTES = 4
TRAINING_BYTES_PER_PARAMETER = 8
"""Bytes of the float32 weight and gradient of a parameter, without the optimizer's state."""
CHECKPOINT_BYTES_PER_PARAMETER = 4
TOKENS_PER_WORD = 1.5
"""Assumed number of tokens per word, including the tokens of punctuation. For BabyLM text, a
byte-level BPE gives 1.3 tokens per word if its vocabulary has 48,000 entries, and 1.6 tokens per
word if it has 8,000 entries."""
CHUNK_ELEMENTS = {"cpu": 1 << 25, "cuda": 1 << 28}
"""Maximum number of logits that core.training.loss holds at once, by kind of device. The
gradients of the logits overwrite the logits. A full chunk takes 128 MiB as float32 on a CPU, or
512 MiB as bf16 on a GPU. That is enough rows for matrix products to run at full speed."""
ROUNDED_BYTES_PER_PARAMETER = 2
"""Bytes of the 16-bit copy of a parameter that a GPU keeps from the forward to the backward
pass."""


@dataclass(frozen=True)
class Copies:
    """How many tensors of each width a layer keeps for its backward pass."""

    attention: float
    """Number of tensors as wide as all heads and all key-value heads together."""
    mlp: float
    """Number of tensors as wide as the MLP."""
    norms: float
    """Number of float32 tensors as wide as the layer's norms together (`layer_vectors`)."""
    residual: float
    """Number of float32 tensors as wide as the residual stream."""


EAGER = Copies(attention=3.0, mlp=4.0, norms=3.0, residual=2.0)
COMPILED = Copies(attention=2.25, mlp=2.25, norms=0.0, residual=6.0)
"""Tensors that a compiled layer keeps. Its backward pass recomputes the other tensors.
benchmarks/README.md compares estimates with measurements. The measurement for `EAGER` is the growth
of the resident memory of a CPU process. The measurement for `COMPILED` is the memory of six presets
on an H200."""
DROPOUT_MASKS = 2
"""Number of dropout masks per layer. A mask has one byte per element of the residual stream."""
MASK_BYTES = 4
"""Bytes of a float32 attention mask for each pair of tokens, if the mask is materialized."""
RESUME_POINTS = 2
ASSUMED_FLOPS = {"cpu": 2.5e11, "cuda": 3.0e14}
"""Assumed number of operations per second in matrix products, if no worker has measured its rate.
The values are those of two CPU cores in fp32 and of an A100 in bf16."""
UTILISATION = {"cpu": 0.4, "cuda": 0.3}
"""Share of the matrix-product rate that a training step reaches, from benchmarks/README.md."""


@dataclass(frozen=True)
class Estimate:
    """Memory, disk space and time of a job.

    If the number of words is unknown, `words`, `tokens`, `steps`, `words_seen` and the values of
    `seconds` are None, and `disk_bytes` includes no milestones.
    """

    parameter_count: int
    words: int | None
    tokens: int | None
    tokens_per_step: int
    steps: int | None
    words_seen: int | None
    device_memory_bytes: int
    """Bytes of memory on each device."""
    disk_bytes: int
    seconds: dict[str, float | None]
    """Seconds of training by kind of device. The time on GPUs is divided by `num_devices`. The time
    on a CPU is not divided, because all processes of a run share its cores."""


def estimate(
    spec: JobSpec, *, words: int | None, rates: Mapping[str, float] | None = None
) -> Estimate:
    """The estimate for a resolved spec and a training corpus of `words` words.

    `rates` has the measured operations per second of one device, by kind of device.
    """
    rates = ASSUMED_FLOPS | dict(rates or {})
    parameters = spec.model.num_parameters(vocab_size=spec.tokenizer.vocab_size)
    tokens = None if words is None else ceil(words * TOKENS_PER_WORD)
    plan = None if tokens is None else make_plan(spec.training, num_tokens=tokens)
    return Estimate(
        parameter_count=parameters,
        words=words,
        tokens=tokens,
        tokens_per_step=spec.training.batch_size * spec.training.seq_length,
        steps=plan.max_steps if plan else None,
        words_seen=_words_seen(plan, words),
        device_memory_bytes=step_bytes(
            spec,
            micro_batch_size=_micro_batch_size(spec),
            vocab_size=spec.tokenizer.vocab_size,
        ),
        disk_bytes=_disk_bytes(spec, parameters, plan, words),
        seconds={
            kind: _seconds(
                spec,
                plan,
                share * rates[kind] * (spec.training.num_devices if kind == "cuda" else 1),
            )
            for kind, share in UTILISATION.items()
        },
    )


def step_bytes(spec: JobSpec, *, micro_batch_size: int, vocab_size: int) -> int:
    """Peak memory of a training step: parameters, optimizer state and activations.

    `device: auto` counts as a GPU. On a GPU, `precision: auto` counts as bf16, and `compile: auto`
    counts as compiled, as in runs of the presets. With `device: cpu`, `precision: auto` counts as
    fp32, and layers count as not compiled.
    """
    parameters = spec.model.num_parameters(vocab_size=vocab_size)
    state = parameters * TRAINING_BYTES_PER_PARAMETER + state_bytes(spec, vocab_size=vocab_size)
    if _is_for_gpu(spec) and _width(spec) == 2:
        state += parameters * ROUNDED_BYTES_PER_PARAMETER
    return state + activation_bytes(spec, micro_batch_size=micro_batch_size, vocab_size=vocab_size)


def state_bytes(spec: JobSpec, *, vocab_size: int) -> int:
    """Memory of the optimizer's state and of the averaged weights."""
    optimizer = OPTIMIZERS[spec.training.optimizer]
    elements = optimizer.num_state_elements(spec.model, vocab_size)
    if spec.training.ema_decay is not None:
        elements += spec.model.num_parameters(vocab_size=vocab_size)
    return FLOAT32_BYTES * elements


def activation_bytes(spec: JobSpec, *, micro_batch_size: int, vocab_size: int) -> int:
    """Memory of the logits, and of the activations that the backward pass of a micro-batch needs.

    Counts the tensors that autograd keeps for each token and layer (following Korthikanti et al.
    2022, section 4.1). They are the inputs of the norms, the inputs of the four attention
    projections and of the three projections of the MLP, the queries, keys and values, and the
    intermediate results of the MLP. Attention scores are not kept, because the backward pass
    recomputes them block by block.
    """
    model, training = spec.model, spec.training
    rows = micro_batch_size * training.seq_length
    width = _width(spec)
    is_compiled = _is_for_gpu(spec) and training.compile and not training.gradient_checkpointing
    copies = COMPILED if is_compiled else EAGER
    attention = model.head_width * (copies.attention * (model.heads + model.kv_heads))
    mlps = copies.mlp * model.mlp_width
    experts = getattr(model, "num_local_experts", 0)
    if experts:
        mlps *= 1 + int(getattr(model, "num_experts_per_tok", 1))
    # Norms compute in float32 in every precision.
    in_float32 = copies.norms * model.layer_vectors() + copies.residual * model.hidden_size
    layer = rows * (width * (attention + mlps) + FLOAT32_BYTES * in_float32)
    if model.dropout:
        layer += rows * DROPOUT_MASKS * model.hidden_size
    chunk = _chunk_bytes(spec, rows * vocab_size) + _mask_bytes(spec, rows)
    if training.gradient_checkpointing:
        kept = rows * 4 * model.hidden_size * model.num_hidden_layers
        return round(kept + layer + chunk)
    return round(layer * model.num_hidden_layers + chunk)


def _is_for_gpu(spec: JobSpec) -> bool:
    return spec.training.device != "cpu"


def _width(spec: JobSpec) -> int:
    """Bytes per element of a matrix product."""
    precision = spec.training.precision
    is_16_bit = precision in ("bf16", "fp16") or (precision == "auto" and _is_for_gpu(spec))
    return 2 if is_16_bit else 4


def _chunk_bytes(spec: JobSpec, logits: int) -> int:
    """Memory of a chunk of logits: float32 on a CPU, the dtype of the products on a GPU."""
    if _is_for_gpu(spec):
        return _width(spec) * min(CHUNK_ELEMENTS["cuda"], logits)
    return 4 * min(CHUNK_ELEMENTS["cpu"], logits)


def _mask_bytes(spec: JobSpec, rows: int) -> int:
    """Memory of the attention masks that separate packed documents, if they are materialized.

    Only `library` attention materializes them. `auto` counts as `library` if scores are not
    soft-capped. On a CPU, the result is then too high, because `auto` chooses `blocks` there.
    """
    training, model = spec.training, spec.model
    is_capped = getattr(model, "attn_logit_softcapping", None) is not None
    needs_masks = training.attention == "library" or (
        training.attention == "auto" and not is_capped
    )
    if training.packing == "stream" or not needs_masks:
        return 0
    return model.num_mask_kinds * MASK_BYTES * rows * training.seq_length


def _micro_batch_size(spec: JobSpec) -> int:
    """Number of sequences in a micro-batch.

    For null and `auto`, this is the device's whole share of the batch. `auto` may choose fewer,
    depending on free memory.
    """
    size = spec.training.micro_batch_size
    return spec.training.device_batch_size if size is None or size == "auto" else size


def _words_seen(plan: Plan | None, words: int | None) -> int | None:
    if plan is None or words is None:
        return None
    return round(words * plan.epochs)


def _disk_bytes(spec: JobSpec, parameters: int, plan: Plan | None, words: int | None) -> int:
    kept = spec.training.save_total_limit + 2  # `best` and `last`
    kept += spec.training.ema_decay is not None
    seen = _words_seen(plan, words)
    if seen is not None:
        kept += sum(count <= seen for _, count in milestones(spec.track))
    checkpoints = kept * parameters * CHECKPOINT_BYTES_PER_PARAMETER
    weights = parameters * FLOAT32_BYTES
    resume_point = weights + state_bytes(spec, vocab_size=spec.tokenizer.vocab_size)
    return checkpoints + RESUME_POINTS * resume_point


def _seconds(spec: JobSpec, plan: Plan | None, flops_per_second: float) -> float | None:
    if plan is None:
        return None
    return training_flops(spec, plan, vocab_size=spec.tokenizer.vocab_size) / flops_per_second


def training_flops(spec: JobSpec, plan: Plan, *, vocab_size: int) -> float:
    """Floating point operations of all training steps."""
    training = spec.training
    per_token = spec.model.flops_per_token(vocab_size=vocab_size, seq_length=training.seq_length)
    return plan.max_steps * training.batch_size * training.seq_length * per_token
