"""The worker: claims a job, starts the training process, and records what the process reports."""
