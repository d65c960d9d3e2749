#!/bin/bash
# The batch script of a pilot: a Slurm job that runs one job of the service.
# Copy this file, edit it for your cluster, and name the copy in BABYLM_SLURM_TEMPLATE. Options that
# a job's spec sets (resources.*) override the lines below.

# Options that your site requires:
##SBATCH --account=my-group
##SBATCH --partition=gpu
##SBATCH --qos=normal
##SBATCH --cpus-per-task=8
##SBATCH --constraint=a100

# Commands that prepare the environment of the program:
#module load cuda/12.4
#source /shared/babylm/.venv/bin/activate

# Slurm sends a signal before the time limit expires (--signal=B:TERM@...), but only to the process
# of this shell. So the last line must use `exec`, which replaces the shell by the pilot. To run the
# pilot in a container, use for example:
#exec apptainer exec --nv /shared/babylm-worker.sif python3 -m worker {arguments}
exec {python} -m worker {arguments}
