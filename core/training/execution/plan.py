"""The execution plan of a run: how its steps are computed.

If the spec says `auto`, this module chooses the attention, compilation and the micro-batch size.
The choices depend on the spec, the plan and the kind of device, never on the clock. The micro-batch
size also depends on free memory, so the resume point stores it. An interrupted run therefore
continues with the same arithmetic.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.archs import Architecture
from core.errors import SpecInvalid
from core.spec.estimate import step_bytes, training_flops
from core.spec.job import JobSpec
from core.spec.plan import Plan
from core.spec.training import TrainingSpec
from core.training.execution.compiled import missing_compiler
from core.training.execution.device import Device, free_bytes
from core.training.execution.micro_batch import MicroBatch

MEMORY_SHARE = 0.8
"""Share of the free memory. A micro-batch is expected to fit if the estimate of its memory is at
most this share. The rest is for memory that the estimate does not include."""
RESCALED_LENGTH = 8192
"""Minimum sequence length for which layers of Llama 4 without rotary embeddings rescale queries. It
is `floor_scale` in the configuration of the model."""
COMPILE_FLOPS = 3e15
"""Minimum number of floating-point operations of a run for which `auto` compiles. Such a run takes
hours on two CPU cores. On a GPU it takes a minute if it is compiled, and several minutes if not,
because launching the kernels of a small model takes most of the time. Compiling takes 12 to 30
seconds on the host of an H200, and one or two minutes on two CPU cores. On two CPU cores with
AVX-512 and AMX, compiling saved 8 % of the time of Gemma 2's steps in fp32, and 29 % in bf16."""


FLEX_HEAD_WIDTH = 16
"""Minimum head width that torch's flex attention supports."""
CHECKPOINTING_WARNING = (
    "gradient_checkpointing",
    "not even one sequence fits into the free memory with its activations, so the backward pass "
    "recomputes them, which takes about a third longer; other processes may be using the memory",
)


@dataclass(frozen=True)
class ExecutionPlan:
    """How the run computes its steps."""

    precision: str
    attention: Literal["blocks", "library", "flex"]
    """blocks: the attention of `core.training.model.attention.select.attend`; library: that of
    transformers; flex: torch's flex attention."""
    compile: bool
    micro_batch_size: int
    gradient_checkpointing: bool
    cuda_graph: bool = False
    """Whether the passes of full batches are launched as a CUDA graph."""
    num_devices: int = 1
    warnings: tuple[tuple[str, str], ...] = ()
    """Code and message of each warning."""

    @property
    def micro_batch(self) -> MicroBatch:
        """The micro-batch configuration."""
        return MicroBatch(self.micro_batch_size, self.gradient_checkpointing)

    def counts(self) -> dict[str, Any]:  # any JSON value
        """All fields except the warnings, for the event that reports a finished stage."""
        named = asdict(self)
        del named["warnings"]
        return named


def choose(spec: JobSpec, plan: Plan, device: Device, *, vocab_size: int) -> ExecutionPlan:
    """The execution plan of a run that starts now.

    Raises:
        SpecInvalid: If the device does not support the spec.
    """
    compiles, warnings = _compile(spec, plan, device, vocab_size)
    if device.precision == "bf16" and not device.has_bf16_units:
        warnings += (
            (
                "slow_precision",
                "training.precision is bf16, but this CPU has no bf16 instructions: products are "
                "emulated, many times slower than fp32",
            ),
        )
    attention = _attention(spec.training, spec.model, device)
    micro_batch = _micro_batch(
        _resolved(spec, attention=attention, compile=compiles), device, vocab_size
    )
    if micro_batch.gradient_checkpointing and not spec.training.gradient_checkpointing:
        warnings += (CHECKPOINTING_WARNING,)
    return ExecutionPlan(
        precision=device.precision,
        attention=attention,
        compile=compiles,
        micro_batch_size=micro_batch.micro_batch_size,
        gradient_checkpointing=micro_batch.gradient_checkpointing,
        cuda_graph=compiles and _can_capture(spec, device, attention, micro_batch),
        num_devices=spec.training.num_devices,
        warnings=warnings,
    )


def _attention(
    training: TrainingSpec, model: Architecture, device: Device
) -> Literal["blocks", "library", "flex"]:
    chosen = training.attention
    if chosen == "flex" and not device.is_cuda:
        raise SpecInvalid(
            "training.attention is flex, which needs a GPU; this is a CPU. Use auto or blocks."
        )
    if chosen in ("blocks", "flex") and model.attention_dropout:
        raise SpecInvalid(
            f"training.attention {chosen} does not support dropout, and model.attention_dropout is "
            f"{model.attention_dropout:g}. Use auto or library."
        )
    if chosen != "blocks" and _needs_blocks(training, model):
        if chosen != "auto":
            raise SpecInvalid(
                f"training.attention is {chosen}, which uses positions in the sequence, but with "
                "training.packing documents and sequences of "
                f"{RESCALED_LENGTH:,} tokens or more, layers of Llama 4 need positions in the "
                "document. Use auto or blocks."
            )
        if model.attention_dropout:
            raise SpecInvalid(
                f"model.attention_dropout is {model.attention_dropout:g}, but with "
                "training.packing documents and sequences of "
                f"{RESCALED_LENGTH:,} tokens or more, only training.attention blocks is correct "
                "for Llama 4, and blocks does not support dropout. Set model.attention_dropout to "
                "0 or training.packing to stream, or use shorter sequences."
            )
        return "blocks"
    if chosen != "auto":
        return chosen
    if model.attention_dropout:
        return "library"
    if not device.is_cuda:
        return "blocks"
    if getattr(model, "attn_logit_softcapping", None) and model.head_width >= FLEX_HEAD_WIDTH:
        return "flex"
    # Without packed documents, `blocks` uses torch's kernel where possible.
    return "library" if training.packing == "documents" else "blocks"


def _can_capture(spec: JobSpec, device: Device, attention: str, micro_batch: MicroBatch) -> bool:
    """Whether the passes of a step can be captured as a CUDA graph.

    They can if every step launches the same kernels, without decisions on the host. With packed
    documents, the host builds masks. Dropout and the recomputation of activations read random
    states. Capturing on several devices is untested, so the function returns False for it.
    """
    return (
        device.is_cuda
        and device.precision != "fp16"
        and attention != "library"
        and spec.training.packing == "stream"
        and spec.training.num_devices == 1
        and not spec.model.dropout
        and not micro_batch.gradient_checkpointing
    )


def _needs_blocks(training: TrainingSpec, model: Architecture) -> bool:
    """Whether only `blocks` computes each packed document as if it were alone in its sequence."""
    is_long = training.seq_length >= RESCALED_LENGTH
    return training.packing == "documents" and model.has_attention_temperature and is_long


def _compile(
    spec: JobSpec, plan: Plan, device: Device, vocab_size: int
) -> tuple[bool, tuple[tuple[str, str], ...]]:
    compiles = spec.training.compile
    if compiles == "auto":
        compiles = training_flops(spec, plan, vocab_size=vocab_size) >= COMPILE_FLOPS
    if not compiles:
        return False, ()
    missing = missing_compiler(device.torch_device)
    if missing is not None:
        return False, (("not_compiled", f"torch.compile is not used: {missing}"),)
    return True, ()


def _resolved(spec: JobSpec, **training: Any) -> JobSpec:  # fields differ in type
    """The spec with the given fields of the section `training`."""
    resolved = spec.training.model_copy(update=training)
    return spec.model_copy(update={"training": resolved})


def _micro_batch(spec: JobSpec, device: Device, vocab_size: int) -> MicroBatch:
    """The micro-batch configuration of the spec.

    For `auto`, it is the largest micro-batch that is estimated to fit into memory. Gradient
    checkpointing is used if the spec requests it, or if no micro-batch fits without it.
    """
    training = spec.training
    if training.micro_batch_size != "auto":
        size = training.micro_batch_size or training.device_batch_size
        return MicroBatch(size, training.gradient_checkpointing)
    micro_batch = None
    if not training.gradient_checkpointing:
        micro_batch = _largest_micro_batch(spec, device, vocab_size, gradient_checkpointing=False)
    return micro_batch or checkpointed_micro_batch(spec, device, vocab_size)


def checkpointed_micro_batch(spec: JobSpec, device: Device, vocab_size: int) -> MicroBatch:
    """The largest micro-batch that is estimated to fit with gradient checkpointing; at least 1."""
    return _largest_micro_batch(
        spec, device, vocab_size, gradient_checkpointing=True
    ) or MicroBatch(1, True)


def _largest_micro_batch(
    spec: JobSpec, device: Device, vocab_size: int, *, gradient_checkpointing: bool
) -> MicroBatch | None:
    spec = _resolved(
        spec,
        device=device.torch_device.type,
        precision=device.precision,
        gradient_checkpointing=gradient_checkpointing,
    )
    training = spec.training
    free = free_bytes(device) * MEMORY_SHARE
    if not device.is_cuda:
        free /= training.num_devices  # processes on one host share its memory
    for size in range(training.device_batch_size, 0, -1):
        if training.device_batch_size % size == 0:
            needed = step_bytes(spec, micro_batch_size=size, vocab_size=vocab_size)
            if needed <= free:
                return MicroBatch(size, gradient_checkpointing)
    return None
