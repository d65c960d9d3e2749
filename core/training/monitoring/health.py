"""Detects problems of training: a loss that diverges, spikes or stagnates, and expert collapse.

The monitor does not stop a run that diverges, because the run may recover. A detected problem is
called a finding. It is reported as a warning event with a level when it begins. It is reported
again only if it has ended and begins again.
"""

from math import log, sqrt

from pydantic import BaseModel, ConfigDict, Field

from core.events.types import WarningData, WarningLevel

SMOOTHING = 0.1
"""Weight of a new loss in the moving mean and variance, which cover about the last 20 losses."""
SETTLED_VALUES = 20
"""Number of logged losses before a spike can be reported. Until then, the variance is unknown."""
SPIKE_DEVIATIONS, SPIKE_NATS = 6.0, 0.5
"""A loss is a spike if it exceeds the moving mean by more than `SPIKE_DEVIATIONS` standard
deviations and by more than `SPIKE_NATS` nats."""
DIVERGED_NATS = 1.0
"""A loss counts as diverged if it exceeds the lowest moving mean by more than this number of
nats."""
DIVERGED_FACTOR = 1.25
"""A loss also counts as diverged if it exceeds both the lowest moving mean and this factor times
the loss of a random guess, ln(vocab_size)."""
DIVERGED_VALUES = 10
"""Number of consecutive diverged losses that cause a warning. A spike is shorter."""
PLATEAU_SHARE, PLATEAU_VALUES = 0.2, 50
"""The loss stagnates if the moving mean does not improve for more than the share `PLATEAU_SHARE` of
all steps and for more than `PLATEAU_VALUES` logged losses."""
IMPROVEMENT = 0.005
"""Minimum relative decrease of the moving mean that counts as an improvement."""
DECAYED = 0.1
"""Share of the peak learning rate. At rates below this share, a flat loss is expected and not
reported."""
COLLAPSE_SHARE, COLLAPSE_SHARE_OF_FEW = 0.5, 0.95
"""Share of the tokens. If one expert gets more than this share, the experts have collapsed. The
second value is for layers with fewer than four experts."""
COLLAPSE_VALUES = 5
"""Number of consecutive logged steps with collapsed experts that cause a warning."""


class HealthState(BaseModel):
    """The state of the monitor.

    Resume points contain it, so a resumed run gives the same warnings as an uninterrupted run.
    """

    model_config = ConfigDict(extra="forbid")

    num_values: int = 0
    mean: float = 0.0
    variance: float = 0.0
    lowest: float = 0.0
    """The moving mean of the loss at the last improvement."""
    lowest_step: int = 0
    values_since_lowest: int = 0
    num_diverged: int = 0
    """Number of consecutive diverged losses up to the newest loss."""
    num_collapsed: int = 0
    active: list[str] = Field(default_factory=list)
    """Codes of the findings that have not ended."""


class HealthMonitor:
    """Detects problems in the logged losses and expert loads of one run."""

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
        """The findings that begin at this logged step.

        Args:
            step: The step.
            loss: Training loss in nats per token.
            learning_rate: Learning rate of the step.
            expert_share: Maximum share of the tokens that one expert got; None without experts.
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
        """Compares the loss with the mean of the earlier losses, then adds the loss to the mean."""
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
        is_high = (
            is_high and loss > state.lowest
        )  # the loss of an untrained model may exceed the bound
        state.num_diverged = state.num_diverged + 1 if is_high else 0
        message = (
            f"at step {step:,} the training loss is {loss:.3f}, and its mean was "
            f"{state.lowest:.3f} at step {state.lowest_step:,}: the run has diverged; cancel it "
            "and start one with a lower training.learning_rate or more training.warmup_steps"
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
