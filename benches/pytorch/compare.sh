#!/usr/bin/env bash
# Images a second of training steps and of inference, Kiln beside PyTorch (its default layout and channels last): the same
# networks, batches and optimizers, in turns on the same processors. Medians, and how many times as fast as the faster PyTorch
# Kiln is. A step of training is a batch drawn, forward and backward pass, and step of the optimizer. The last columns are the
# peak resident size of a process that only trains, and how far it has grown beyond what the idle program takes.
#
#   benches/pytorch/compare.sh [--json] [--threads 1,2] [--networks lenet,mobilenet,...] [--seconds 3] [--instructions avx2]
#
# `--json` prints a line a case, with milliseconds. `--seconds` is the time for each program, network and kind of step; with 0.8
# the whole takes 11 minutes. `--instructions avx2` keeps all programs from using AVX-512. The first use makes a virtual
# environment with PyTorch from PyPI in target/pytorch (several GB: the wheel asks for the libraries of GPUs, which nothing
# here uses).
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
