"""Training options. This module does not import torch."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from core.spec.optimizers import OPTIMIZERS
from core.spec.section import Section

MAX_STEPS = 100_000_000
MAX_DEVICES = 64
"""Maximum number of devices of a run, more than any single machine has."""


class TrainingSpec(Section):
    """Training options. A step is one optimizer update; steps are counted from 1."""

    seq_length: int = Field(
        default=128, ge=8, le=32_768, description="Number of tokens in a sequence."
    )
    packing: Literal["stream", "documents"] = Field(
        default="stream",
        description="Sequences are cut from the concatenated documents. stream: a token attends to "
        "all earlier tokens of its sequence; documents: a token attends only to the earlier tokens "
        "of its own document.",
    )
    shuffle: Literal["windows", "documents"] = Field(
        default="windows",
        description="What gets a new random order in each epoch. windows: the sequences, which are "
        "cut from the text only once; documents: first the documents, from which new sequences are "
        "cut, and then these sequences (document-level shuffle of qlabs-eng/slowrun).",
    )
    batch_size: int = Field(
        default=16, ge=1, le=65_536, description="Number of sequences in a step."
    )
    num_devices: int = Field(
        default=1,
        ge=1,
        le=MAX_DEVICES,
        description="Number of devices that train together: GPUs of one machine, or parts of its "
        "CPU. Each device takes an equal part of each batch, so num_devices must divide "
        "batch_size.",
    )
    micro_batch_size: Annotated[int, Field(ge=1, le=65_536)] | Literal["auto"] | None = Field(
        default=None,
        description="Number of sequences in one forward and backward pass of a device. Gradients "
        "are accumulated over all passes of a step. null: the device's whole share of the batch; "
        '"auto": the largest part of this share that fits into memory.',
    )
    epochs: float = Field(
        default=3.0, gt=0.0, le=10_000.0, description="Number of passes over the text."
    )
    max_steps: int | None = Field(
        default=None,
        ge=1,
        le=MAX_STEPS,
        description="Maximum number of steps; training ends earlier if the epochs have fewer.",
    )
    optimizer: str = Field(
        default="adamw",
        json_schema_extra={"enum": list(OPTIMIZERS)},
        description="; ".join(f"{kind.name}: {kind.description}" for kind in OPTIMIZERS.values())
        + " (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).",
    )
    muon_learning_rate: float = Field(
        default=0.02,
        gt=0.0,
        le=1.0,
        description="Peak learning rate of the matrices that Muon updates; learning_rate then "
        "applies to the other weights. Both rates follow the schedule. Jordan et al. 2024 use "
        "0.02.",
    )
    muon_momentum: float = Field(
        default=0.95,
        ge=0.0,
        lt=1.0,
        description="Nesterov momentum of Muon. Jordan et al. 2024 use 0.95.",
    )
    learning_rate: float = Field(default=5e-4, gt=0.0, le=1.0, description="Peak learning rate.")
    schedule: Literal["linear", "cosine", "constant", "wsd"] = Field(
        default="linear",
        description="After the warm-up: linear or cosine decay, constant, or wsd (constant, then "
        "decay).",
    )
    warmup_steps: int | None = Field(
        default=None,
        ge=0,
        le=MAX_STEPS,
        description="Number of steps of the linear warm-up; null: 500 or a tenth of the run's "
        "steps, whichever is less.",
    )
    min_learning_rate_ratio: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Final learning rate as a fraction of the peak; the constant schedule ignores "
        "it.",
    )
    decay_ratio: float = Field(
        default=0.2,
        gt=0.0,
        le=1.0,
        description="Fraction of the steps in which the schedule wsd decays.",
    )
    weight_decay: float = Field(
        default=0.01,
        ge=0.0,
        le=10.0,
        description="Weight decay of matrices and embeddings; norms and biases have none.",
    )
    ema_decay: float | None = Field(
        default=None,
        gt=0.0,
        lt=1.0,
        description="Decay of an exponential moving average of the weights; null: no average. At "
        "step n the decay is at most (1 + n) / (10 + n). The average is validated too, and "
        "published as the checkpoint `ema`. GPT-BERT (Charpentier and Samuel 2024) uses 0.999.",
    )
    adam_beta1: float = Field(default=0.9, ge=0.0, lt=1.0, description="Decay of the first moment.")
    adam_beta2: float = Field(
        default=0.999, ge=0.0, lt=1.0, description="Decay of the second moment."
    )
    adam_epsilon: float = Field(
        default=1e-8, gt=0.0, le=1.0, description="Constant that AdamW adds to the denominator."
    )
    max_grad_norm: float | None = Field(
        default=1.0, gt=0.0, le=1e9, description="Gradients are clipped to this norm; null: never."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="auto: bf16 on a GPU that supports it, fp16 with loss scaling on other GPUs, "
        "fp32 on a CPU.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: a GPU if one is available, else the CPU."
    )
    num_threads: int | None = Field(
        default=None, ge=1, le=1024, description="CPU threads; null lets torch choose."
    )
    attention: Literal["auto", "blocks", "library", "flex"] = Field(
        default="auto",
        description="blocks: attention that this project computes block by block, so that "
        "memory never holds all scores at once, or torch's fused kernel where that gives the same "
        "result faster; library: the attention that transformers chooses; flex: torch's flex "
        "attention, GPU only. auto uses the first of these rules that applies. Llama 4 with "
        "packing documents and seq_length 8192 or more: blocks (attention dropout is then an "
        "error). A model with attention dropout: library. A CPU: blocks. Soft-capped scores and "
        "heads at least 16 wide: flex. Packing documents: library. Otherwise: blocks.",
    )
    compile: Literal["auto"] | bool = Field(
        default="auto",
        description="Fuse elementwise operations of the layers with torch.compile, and on a GPU "
        "launch steps as CUDA graphs where possible. auto: compile only runs of at least 3e15 "
        "floating-point operations, which take minutes on a GPU or hours on a CPU; shorter runs do "
        "not make up for the time to compile, 12 seconds to two minutes.",
    )
    router_aux_loss_coefficient: float = Field(
        default=0.0,
        ge=0.0,
        le=100.0,
        description="Weight of the load-balancing loss of a mixture of experts; 0: none. "
        "Switch Transformers uses 0.01.",
    )
    z_loss_coefficient: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Weight of the z-loss, the squared log of the softmax's normaliser, which "
        "keeps logits small; 0: none. It is part of the training objective only; the losses in the "
        "metrics do not include it. PaLM (Chowdhery et al. 2022, section 5) and GPT-BERT use 1e-4.",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Recompute activations in the backward pass, which needs less memory and more "
        'time. If micro_batch_size is "auto", this is turned on automatically if not even one '
        "sequence fits into memory without it.",
    )
    empty_cache_steps: int | None = Field(
        default=None,
        ge=1,
        le=MAX_STEPS,
        description="Number of steps after which torch's cache of GPU memory is emptied; null: "
        "never.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Seed of the initial weights, data order and dropout.",
    )
    logging_steps: int | None = Field(
        default=None,
        ge=1,
        le=MAX_STEPS,
        description="Number of steps between two logs of the metrics; null: a thousandth of the "
        "run's steps, at least 1.",
    )
    eval_steps: int | None = Field(
        default=None,
        ge=1,
        le=MAX_STEPS,
        description="Number of steps between two validations; null: 500, or fewer if the run would "
        "otherwise have fewer than 10 validations.",
    )
    early_stopping_patience: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Number of validations in a row without a new lowest loss after which the run "
        "ends (Prechelt 1998); null: train to the end. If this is set, the checkpoint `last` has "
        "the weights with the lowest loss, even if training reaches the end. Needs "
        "data.validation.",
    )
    eval_tokens: int | None = Field(
        default=500_000,
        ge=1,
        le=10**12,
        description="Maximum number of tokens in a validation. They are sampled evenly over the "
        "text. null: all tokens.",
    )
    save_steps: int | None = Field(
        default=None,
        ge=1,
        le=MAX_STEPS,
        description="Number of steps between two rolling checkpoints; null: 500, or fewer if the "
        "run would otherwise save fewer than 5.",
    )
    save_total_limit: int = Field(
        default=3,
        ge=1,
        le=10_000,
        description="Number of newest rolling checkpoints to keep; milestones are always kept.",
    )
    sample_prompts: list[Annotated[str, Field(max_length=2000)]] = Field(
        default=["Once upon a time", "The children"],
        max_length=20,
        description="Prompts that the model continues at each validation.",
    )
    sample_max_new_tokens: int = Field(
        default=40,
        ge=1,
        le=1024,
        description="Maximum number of tokens that the model adds to a sample prompt.",
    )

    @property
    def device_batch_size(self) -> int:
        """Number of sequences per step and device."""
        return self.batch_size // self.num_devices

    @field_validator("optimizer")
    @classmethod
    def _optimizer_exists(cls, name: str) -> str:
        if name not in OPTIMIZERS:
            raise ValueError(f"must be one of {', '.join(OPTIMIZERS)}")
        return name

    @field_validator("num_devices")
    @classmethod
    def _shares_the_batch(cls, devices: int, info: ValidationInfo) -> int:
        batch = info.data.get("batch_size")
        if batch is not None and batch % devices:
            accepted = _divisors(batch, most=MAX_DEVICES)
            raise ValueError(f"must divide batch_size {batch}: {accepted} would be accepted")
        return devices

    @field_validator("micro_batch_size")
    @classmethod
    def _within_batch(
        cls, size: int | Literal["auto"] | None, info: ValidationInfo
    ) -> int | Literal["auto"] | None:
        batch, devices = info.data.get("batch_size"), info.data.get("num_devices")
        if not isinstance(size, int) or batch is None or devices is None:
            return size
        share = batch // devices
        if share % size and devices == 1:
            raise ValueError(f"must divide batch_size {batch}")
        if share % size:
            raise ValueError(
                f"must divide the {share} sequences that each device takes (batch_size {batch} on "
                f"{devices} devices): {_divisors(share, most=share)} would be accepted"
            )
        return size


def _divisors(number: int, *, most: int) -> str:
    return ", ".join(str(size) for size in range(1, most + 1) if number % size == 0)
