#!/bin/bash
# One Slurm job that runs one job of the service: a pilot.
# Copy this file, edit it for your cluster, and name the copy in BABYLM_SLURM_TEMPLATE. Options that
# a job's spec sets (resources.*) override the lines below.

# What your site asks for:
##SBATCH --account=my-group
##SBATCH --partition=gpu
##SBATCH --qos=normal
##SBATCH --cpus-per-task=8
##SBATCH --constraint=a100

# What the program needs:
#module load cuda/12.4
#source /shared/babylm/.venv/bin/activate

# The last line replaces the shell by the pilot, because Slurm sends the warning before the end of
# the time limit (--signal=B:TERM@...) to this shell only. In a container:
#exec apptainer exec --nv /shared/babylm-worker.sif python3 -m worker {arguments}
exec {python} -m worker {arguments}
