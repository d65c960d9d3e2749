"""The experiment trackers that a run can be sent to."""

from typing import Literal, get_args

TrackerName = Literal["tensorboard", "wandb", "mlflow"]
TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)
