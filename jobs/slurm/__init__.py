"""Slurm as a source of workers: pilots are submitted for queued jobs. Slurm decides no outcome."""
