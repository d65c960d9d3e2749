"""What an evaluation found. No torch."""

from pydantic import BaseModel, ConfigDict


class Found(BaseModel):
    """A part of a result."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ParadigmScore(Found):
    """Shares of right choices in one paradigm."""

    name: str
    phenomenon: str | None
    pairs: int
    score: float
    strict_score: float


class EvaluationResult(Found):
    """The scores of a whole task, from 0 to 1; chance is 0.5."""

    score: float
    """Plain mean over the paradigms, ties counted as right: the official figure."""
    strict_score: float
    pairs: int
    seconds: float
    """Computing time."""
    paradigms: list[ParadigmScore]

    def scores(self) -> dict[str, float]:
        """The figures by name, as an `evaluation` event carries them."""
        whole = {"score": self.score, "strict_score": self.strict_score}
        return whole | {f"paradigm/{each.name}": each.score for each in self.paradigms}
