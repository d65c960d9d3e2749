"""The environments in which exported checkpoints are tested."""

from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".compat"
STAMP = ".installed"
TORCH = "torch==2.13.0"
PIN, LAST_4, NEWEST_5 = "pin", "last4", "newest5"
LM_EVAL = NEWEST_5
"""The environment that also has EleutherAI's lm-evaluation-harness. A separate environment for the
harness would need another copy of torch."""
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    PIN: ("transformers==4.51.3", "tokenizers==0.21.1"),
    LAST_4: ("transformers>=4.57.6,<5",),
    NEWEST_5: ("transformers>=5.24,<6", "lm_eval[hf]==0.4.13"),
}


def python_of(name: str) -> str:
    """The interpreter of an environment."""
    return str(FOLDER / name / "bin" / "python")


def is_built(name: str) -> bool:
    """Whether the installation of the environment is complete."""
    return (FOLDER / name / STAMP).is_file()
