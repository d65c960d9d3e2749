"""The experiment trackers to which a run can be copied."""

from typing import Literal, get_args

TrackerName = Literal["tensorboard", "wandb", "mlflow"]
TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)
