"""Whether training goes wrong: divergence, spikes and plateaus of the loss, collapse of experts.

A run that diverges is not stopped, because a user may want to see it recover. Each finding is a
warning event with a level, reported once until it is over.
"""

from math import log, sqrt

from pydantic import BaseModel, ConfigDict, Field

from core.events.types import WarningData, WarningLevel

SMOOTHING = 0.1
"""Weight of a new value in the moving mean and variance: about the last 20 logged values."""
SETTLED_VALUES = 20
"""Logged values before a spike is judged: the variance is not known earlier."""
SPIKE_DEVIATIONS, SPIKE_NATS = 6.0, 0.5
"""How far above the moving mean a single value is a spike; both bounds must be exceeded."""
DIVERGED_NATS = 1.0
"""Above the lowest mean so far."""
DIVERGED_FACTOR = 1.25
"""Times ln(vocab_size), the loss of a model that guesses."""
DIVERGED_VALUES = 10
"""Consecutive logged values: a spike that recovers is shorter."""
PLATEAU_SHARE, PLATEAU_VALUES = 0.2, 50
"""Share of the run, and logged values, without an improvement."""
IMPROVEMENT = 0.005
"""Relative decrease of the mean that counts as one."""
DECAYED = 0.1
"""Share of the peak learning rate below which a flat loss is expected."""
COLLAPSE_SHARE, COLLAPSE_SHARE_OF_FEW = 0.5, 0.95
"""Share of the tokens of one expert; the second for fewer than four experts."""
COLLAPSE_VALUES = 5
"""Consecutive logged values."""


class HealthState(BaseModel):
    """What the monitor knows; part of each resume point, so that a resumed run warns the same."""

    model_config = ConfigDict(extra="forbid")

    num_values: int = 0
    mean: float = 0.0
    variance: float = 0.0
    lowest: float = 0.0
    """The mean at the last improvement."""
    lowest_step: int = 0
    values_since_lowest: int = 0
    num_diverged: int = 0
    """Consecutive values that are too high."""
    num_collapsed: int = 0
    active: list[str] = Field(default_factory=list)
    """Codes of findings that are not over."""


class HealthMonitor:
    """Judges the logged values of one run."""

    def __init__(
        self, state: HealthState, *, max_steps: int, vocab_size: int, peak_rate: float, experts: int
    ) -> None:
        """`experts` is the number of experts of a layer; 0 for a dense model."""
        self._state = state
        self._max_steps = max_steps
        self._ceiling = DIVERGED_FACTOR * log(vocab_size)
        self._peak_rate = peak_rate
        self._collapse = COLLAPSE_SHARE if experts >= 4 else COLLAPSE_SHARE_OF_FEW

    def observe(
        self, step: int, *, loss: float, learning_rate: float, expert_share: float | None = None
    ) -> list[WarningData]:
        """The findings that are new with these values of a logged step.

        Args:
            step: The step.
            loss: Training loss in nats per token.
            learning_rate: Of the step.
            expert_share: Largest share of the tokens that one expert got; None without experts.
        """
        found = [
            self._spike(step, loss),
            self._divergence(step, loss),
            self._plateau(step, learning_rate),
        ]
        if expert_share is not None:
            found.append(self._expert_collapse(step, expert_share))
        return [warning for warning in found if warning is not None]

    def _spike(self, step: int, loss: float) -> WarningData | None:
        """Judges the value by those before it, then adds it to them."""
        state = self._state
        state.num_values += 1
        if state.num_values == 1:
            state.mean = state.lowest = loss
            state.lowest_step = step
            return None
        mean, above = state.mean, loss - state.mean
        bound = max(SPIKE_NATS, SPIKE_DEVIATIONS * sqrt(state.variance))
        state.mean += SMOOTHING * above
        state.variance = (1.0 - SMOOTHING) * (state.variance + SMOOTHING * above**2)
        is_spike = state.num_values > SETTLED_VALUES and above > bound
        message = (
            f"at step {step:,} the training loss rose to {loss:.3f} from a mean of {mean:.3f}; if "
            "that recurs, lower training.learning_rate or training.max_grad_norm"
        )
        return self._report("loss_spike", "warn", message, begins=is_spike, ends=not is_spike)

    def _divergence(self, step: int, loss: float) -> WarningData | None:
        state = self._state
        is_high = loss > min(self._ceiling, state.lowest + DIVERGED_NATS)
        is_high = is_high and loss > state.lowest  # an untrained model may exceed the ceiling
        state.num_diverged = state.num_diverged + 1 if is_high else 0
        message = (
            f"at step {step:,} the training loss is {loss:.3f} after a lowest mean of "
            f"{state.lowest:.3f}: the run has diverged; cancel it and start one with a lower "
            "training.learning_rate or more training.warmup_steps"
        )
        return self._report(
            "loss_diverged",
            "error",
            message,
            begins=state.num_diverged >= DIVERGED_VALUES,
            ends=not is_high,
        )

    def _plateau(self, step: int, learning_rate: float) -> WarningData | None:
        state = self._state
        has_improved = state.mean < (1.0 - IMPROVEMENT) * state.lowest
        state.values_since_lowest += 1
        if has_improved:
            state.lowest, state.lowest_step, state.values_since_lowest = state.mean, step, 0
        is_flat = (
            step - state.lowest_step > PLATEAU_SHARE * self._max_steps
            and state.values_since_lowest > PLATEAU_VALUES
            and learning_rate > DECAYED * self._peak_rate
            and "loss_diverged" not in state.active
        )
        message = (
            f"the training loss has not improved since step {state.lowest_step:,}: its mean was "
            f"{state.lowest:.3f} then and is {state.mean:.3f} at step {step:,}"
        )
        return self._report("loss_plateau", "info", message, begins=is_flat, ends=has_improved)

    def _expert_collapse(self, step: int, share: float) -> WarningData | None:
        state = self._state
        is_collapsed = share > self._collapse
        state.num_collapsed = state.num_collapsed + 1 if is_collapsed else 0
        message = (
            f"at step {step:,} one expert gets {share:.0%} of the tokens of its layer: the others "
            "learn little; raise training.router_aux_loss_coefficient"
        )
        return self._report(
            "expert_collapse",
            "warn",
            message,
            begins=state.num_collapsed >= COLLAPSE_VALUES,
            ends=not is_collapsed,
        )

    def _report(
        self, code: str, level: WarningLevel, message: str, *, begins: bool, ends: bool
    ) -> WarningData | None:
        active = self._state.active
        if ends and code in active:
            active.remove(code)
        if not begins or code in active:
            return None
        active.append(code)
        return WarningData(code=code, message=message, level=level)
