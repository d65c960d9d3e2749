"""Slurm as a source of workers.

The provisioner submits a *pilot* for each queued job: a Slurm job that runs one worker for this
job. A *placement* is the row that records a pilot. Slurm's states never decide the outcome of a
job.
"""
