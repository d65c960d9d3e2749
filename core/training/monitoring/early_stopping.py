"""Ends a run if its validation loss no longer falls (Prechelt 1998, "Early Stopping")."""

from core.spec.plan import Plan
from core.spec.training import TrainingSpec
from core.training.saving.resume import LoopState


def note_validation(state: LoopState) -> bool:
    """Records the newest validation; returns whether its loss is the lowest so far.

    A validation at step 0 does not count. A loss that is not finite is not an improvement.
    """
    loss, best = state.validation_loss, state.best_validation_loss
    if state.step == 0:
        return False
    if loss is None or (best is not None and loss >= best):
        state.validations_without_gain += 1
        return False
    state.best_validation_loss, state.best_step = loss, state.step
    state.validations_without_gain = 0
    return True


def is_finished(state: LoopState, plan: Plan, training: TrainingSpec) -> bool:
    """Whether no step is left, or too many validations in a row brought no improvement.

    The setting `early_stopping_patience` gives this number of validations.
    """
    patience = training.early_stopping_patience
    is_exhausted = patience is not None and state.validations_without_gain >= patience
    return state.step >= plan.max_steps or is_exhausted


def message(state: LoopState, plan: Plan) -> str:
    """The text of the warning that a run has stopped early."""
    best = "no validation loss was finite"
    if state.best_validation_loss is not None:
        best = (
            f"the lowest was {state.best_validation_loss:.4f} at step {state.best_step:,}, and the "
            "checkpoint `last` has the weights of that step"
        )
    return (
        f"the run ended at step {state.step:,} of {plan.max_steps:,}, because the validation loss "
        f"did not fall in {state.validations_without_gain} validations; {best}"
    )
