"""What `auto` means for one run: attention, compilation and micro-batch on this device.

A choice is a function of the spec, the plan and the kind of device, never of a clock; the size of
the micro-batch depends on free memory too, and is therefore kept in the resume point. So a run that
was interrupted goes on with the same arithmetic.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.archs import Architecture
from core.errors import SpecInvalid
from core.spec.estimate import step_bytes
from core.spec.job import JobSpec
from core.spec.plan import Plan
from core.spec.training import TrainingSpec
from core.training.execution.compiled import missing_compiler
from core.training.execution.device import Device, free_bytes
from core.training.execution.micro_batch import MicroBatch

MEMORY_SHARE = 0.8
"""Of the free memory; the rest is for what the estimate does not know."""
TEMPERED_LENGTH = 8192
"""Llama 4's `floor_scale`: its layers without rotary embeddings scale by position from here on."""
COMPILE_FLOPS = 3e15
"""A run of so many operations takes two CPU cores hours, and a GPU a minute if it is compiled and
minutes if not, where a small model waits for its kernels to be launched. Compiling takes 12 to 30
seconds on the host of an H200, one or two minutes on two cores, where it won 8 % (fp32) to 29 %
(bf16) of Gemma 2's steps with AVX-512 and AMX."""


FLEX_HEAD_WIDTH = 16
"""Narrower heads torch's flex attention refuses."""
CHECKPOINTING_WARNING = (
    "gradient_checkpointing",
    "not even one sequence fits the free memory with its activations, so the backward pass "
    "computes them again, which takes about a third longer; other processes may hold the memory",
)


@dataclass(frozen=True)
class ExecutionPlan:
    """What the run computes with."""

    precision: str
    attention: Literal["blocks", "library", "flex"]
    compile: bool
    micro_batch_size: int
    gradient_checkpointing: bool
    cuda_graph: bool = False
    """Whether the passes of a full batch are recorded, and launched as a whole."""
    num_devices: int = 1
    warnings: tuple[tuple[str, str], ...] = ()
    """(code, message)"""

    @property
    def micro_batch(self) -> MicroBatch:
        """What decides how much memory a step takes."""
        return MicroBatch(self.micro_batch_size, self.gradient_checkpointing)

    def counts(self) -> dict[str, Any]:  # Any: JSON
        """For the report of the stage."""
        named = asdict(self)
        del named["warnings"]
        return named


def choose(spec: JobSpec, plan: Plan, device: Device, *, vocab_size: int) -> ExecutionPlan:
    """The choices of a run that begins now.

    Raises:
        SpecInvalid: If the spec asks for what this device cannot do.
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
        _decided(spec, attention=attention, compile=compiles), device, vocab_size
    )
    if micro_batch.gradient_checkpointing and not spec.training.gradient_checkpointing:
        warnings += (CHECKPOINTING_WARNING,)
    return ExecutionPlan(
        precision=device.precision,
        attention=attention,
        compile=compiles,
        micro_batch_size=micro_batch.micro_batch_size,
        gradient_checkpointing=micro_batch.gradient_checkpointing,
        cuda_graph=compiles and _is_capturable(spec, device, attention, micro_batch),
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
            f"training.attention {chosen} knows no dropout, and model.attention_dropout is "
            f"{model.attention_dropout:g}. Use auto or library."
        )
    if chosen != "blocks" and _needs_blocks(training, model):
        if chosen != "auto":
            raise SpecInvalid(
                f"training.attention is {chosen}, which knows positions in the sequence alone; "
                f"layers of Llama 4 scale by positions in the document from {TEMPERED_LENGTH:,} "
                "tokens on, and training.packing is documents. Use auto or blocks."
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
    # Of whole sequences `blocks` leaves to torch's kernel what it can.
    return "library" if training.packing == "documents" else "blocks"


def _is_capturable(spec: JobSpec, device: Device, attention: str, micro_batch: MicroBatch) -> bool:
    """Whether every step does the same on the GPU, and the host need not look or choose.

    Masks of documents are made on the host's word, dropout and recomputation read random states,
    and of several devices none was there to try it.
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
    """Whether only our own attention gives what each document alone would get."""
    is_long = training.seq_length >= TEMPERED_LENGTH
    return training.packing == "documents" and model.has_attention_temperature and is_long


def _compile(
    spec: JobSpec, plan: Plan, device: Device, vocab_size: int
) -> tuple[bool, tuple[tuple[str, str], ...]]:
    wish = spec.training.compile
    if wish == "auto":
        tokens = plan.max_steps * spec.training.batch_size * spec.training.seq_length
        flops = tokens * spec.model.flops_per_token(
            vocab_size=vocab_size, seq_length=spec.training.seq_length
        )
        wish = flops >= COMPILE_FLOPS
    if not wish:
        return False, ()
    missing = missing_compiler(device.torch_device)
    if missing is not None:
        return False, (("not_compiled", f"torch.compile is left out: {missing}"),)
    return True, ()


def _decided(spec: JobSpec, **training: Any) -> JobSpec:  # Any: fields of the section
    """The spec with what `auto` means here, which decides how much memory a step takes."""
    decided = spec.training.model_copy(update=training)
    return spec.model_copy(update={"training": decided})


def _micro_batch(spec: JobSpec, device: Device, vocab_size: int) -> MicroBatch:
    """As the spec says; where it leaves it to us, checkpointing only if nothing fits without."""
    training = spec.training
    if training.micro_batch_size != "auto":
        size = training.micro_batch_size or training.device_batch_size
        return MicroBatch(size, training.gradient_checkpointing)
    micro_batch = None
    if not training.gradient_checkpointing:
        micro_batch = _largest_micro_batch(spec, device, vocab_size, gradient_checkpointing=False)
    return micro_batch or checkpointed_micro_batch(spec, device, vocab_size)


def checkpointed_micro_batch(spec: JobSpec, device: Device, vocab_size: int) -> MicroBatch:
    """The largest micro-batch whose estimate fits if activations are computed again; at least 1."""
    return _largest_micro_batch(
        spec, device, vocab_size, gradient_checkpointing=True
    ) or MicroBatch(1, True)


def _largest_micro_batch(
    spec: JobSpec, device: Device, vocab_size: int, *, gradient_checkpointing: bool
) -> MicroBatch | None:
    spec = _decided(
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
