#!/usr/bin/env bash
#     sbatch --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 launch/slurm.sh --config=configs/sft.py:smollm2
#
# Runs a study under SLURM, one process a GPU, in the environment that was active at `sbatch`. The
# folder is one that all nodes see. Two minutes before the time limit, and when the job is preempted,
# the run saves and stops; it is queued again and goes on from there.
#SBATCH --job-name=qdcjax
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=TERM@120
set -euo pipefail
code=0
srun --kill-on-bad-exit=1 python -m qdcjax.main "$@" --distributed=auto || code=$?
if ((code == 143)); then # stopped by SIGTERM after a save
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
