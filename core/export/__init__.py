"""The check of a run's last checkpoint, submissions to the challenge, and experiment trackers."""
