#!/usr/bin/env bash
# Measures images per second of training and inference, for Kiln and PyTorch (default layout and channels
# last). Both run the same networks, batches and optimizers in turns on the same processors. The table shows
# medians, and the speed of Kiln relative to the faster layout of PyTorch. A training step draws a batch, runs
# the forward and the backward pass, and updates the weights. The last columns are the peak resident size of a
# process that only trains, and its growth over the idle program.
#
#   benches/pytorch/compare.sh [--json] [--threads 1,2] [--networks lenet,mobilenet,...] [--seconds 3] [--instructions avx2]
#
# `--json` prints one line for each case, with milliseconds. `--seconds` is the time for each program, network
# and kind of step. With 0.8, the whole takes 11 minutes. `--instructions avx2` keeps all programs from using
# AVX-512. The first use creates a virtual environment with PyTorch in target/pytorch. It takes several GB,
# because the wheel depends on GPU libraries, which are not used here.
set -euo pipefail
cd "$(dirname "$0")/../.."

target="${CARGO_TARGET_DIR:-target}"
venv="${PYTORCH_VENV:-$target/pytorch}"
if [[ ! -x "$venv/bin/python" ]]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement benches/pytorch/requirements.txt
fi
cargo build --release --locked --quiet --example training_step
exec "$venv/bin/python" benches/pytorch/compare.py --kiln "$target/release/examples/training_step" "$@"
