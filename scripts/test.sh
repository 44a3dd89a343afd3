#!/usr/bin/env bash
# DATAROOT, NAME and PYTHON can be set; further options of test.py can follow: scripts/test.sh --epoch best
set -euo pipefail
"${PYTHON:-python}" test.py \
        --dataroot "${DATAROOT:-datasets/phone}" \
        --name "${NAME:-phone}" \
        --eval \
        --model blur2blur --netG mimounet \
        --checkpoints_dir ckpts/ \
        --dataset_mode unaligned \
        --norm instance \
        "$@"
