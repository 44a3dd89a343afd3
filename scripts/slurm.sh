#!/usr/bin/env bash
#SBATCH --job-name=blur2blur
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
# One torchrun on each machine, one process for each GPU. What follows is what blur2blur is given:
# sbatch --nodes 2 --gpus-per-node 8 scripts/slurm.sh train deblurrer --data phone -o runs/deblurrer
set -euo pipefail
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun \
        --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" \
        --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$first:29500" \
        --no-python blur2blur "$@"
