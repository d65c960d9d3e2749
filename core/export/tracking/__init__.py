"""Experiment trackers: replays the journal of a run into TensorBoard, W&B and MLflow. No torch.

A separate process copies the events of the journal to a tracker. A tracker that is slow or
unavailable therefore neither delays nor ends a run.
"""
