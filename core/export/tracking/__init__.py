"""Experiment trackers: replays the journal of a run into TensorBoard, W&B and MLflow. No torch.

The journal is the source and a tracker is a copy of it, made by a process of its own. A tracker
that is slow or unavailable therefore neither delays nor ends a run.
"""
