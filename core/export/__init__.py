"""What leaves a run: the check of its last checkpoint, submissions, experiment trackers."""
