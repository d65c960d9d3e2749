"""The learning rate as a pure function of the step."""

from math import cos, pi

from core.spec.plan import Plan
from core.spec.training import TrainingSpec


def learning_rate(step: int, plan: Plan, training: TrainingSpec) -> float:
    """The learning rate of a step, counted from 1.

    During the warm-up of `warmup_steps` steps, the rate rises linearly; it reaches the peak at the
    last of these steps. After the warm-up, it follows the schedule. With `linear` and `cosine`
    (Loshchilov and Hutter 2017, without restarts), it falls until the last step. With `wsd` (Hu et
    al. 2024, section 4), it stays at the peak and falls linearly during the last `decay_steps`
    steps. With these three schedules, the rate of the last step is `min_learning_rate_ratio` times
    the peak. With `constant`, the rate stays at the peak.
    """
    peak = training.learning_rate
    if step <= plan.warmup_steps:
        return peak * step / plan.warmup_steps
    floor = training.min_learning_rate_ratio
    begin = plan.warmup_steps
    if training.schedule == "constant":
        return peak
    if training.schedule == "wsd":
        begin = max(begin, plan.max_steps - plan.decay_steps)
        if step <= begin:
            return peak
    fraction = min(1.0, (step - begin) / max(1, plan.max_steps - begin))
    left = 0.5 * (1.0 + cos(pi * fraction)) if training.schedule == "cosine" else 1.0 - fraction
    return peak * (floor + (1.0 - floor) * left)
