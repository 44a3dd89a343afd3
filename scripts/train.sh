#!/usr/bin/env bash
# DATAROOT, NAME and PYTHON can be set; further options of train.py can follow: scripts/train.sh --batch_size 4
set -euo pipefail
"${PYTHON:-python}" train.py \
        --dataroot "${DATAROOT:-datasets/phone}" \
        --name "${NAME:-phone}" \
        --model blur2blur --netG mimounet \
        --batch_size 1 \
        --dataset_mode unaligned \
        --norm instance --pool_size 0 \
        --display_id -1 \
        "$@"
