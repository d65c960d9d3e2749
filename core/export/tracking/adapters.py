"""The trackers by name. The library of a tracker is imported only when the tracker is opened."""

from importlib import import_module
from importlib.util import find_spec

from core.export.tracking.replay import Adapter, State, Tracker
from core.spec.tracking import TRACKERS, TrackerName
from core.storage.rundir import RunDir


def _open_tensorboard(rundir: RunDir, state: State) -> Tracker:
    tracker: Tracker = import_module("core.export.tracking.tensorboard_file").TensorBoardFile(
        rundir, state
    )
    return tracker


def _open_wandb(rundir: RunDir, state: State) -> Tracker:
    tracker: Tracker = import_module("core.export.tracking.wandb_run").WandbRun(rundir, state)
    return tracker


def _open_mlflow(rundir: RunDir, state: State) -> Tracker:
    tracker: Tracker = import_module("core.export.tracking.mlflow_run").MlflowRun(rundir, state)
    return tracker


ADAPTERS: dict[TrackerName, Adapter] = {
    "tensorboard": Adapter("tensorboard", _open_tensorboard),
    "wandb": Adapter("wandb", _open_wandb, is_live=False),
    "mlflow": Adapter("mlflow", _open_mlflow),
}
assert set(ADAPTERS) == set(TRACKERS)


def missing_package(name: TrackerName) -> str | None:
    """A message that names the missing package of a tracker; None if the package is installed."""
    package = ADAPTERS[name].package
    if find_spec(package) is not None:
        return None
    return f"the package {package} is not installed: pip install 'babylm-service[{name}]'"
