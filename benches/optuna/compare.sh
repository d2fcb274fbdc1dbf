#!/usr/bin/env bash
# Milliseconds of ask and tell for each trial, Kiln's strategies beside Optuna's samplers: the same space (genes of equally
# many options), the same number of trials, one after the other on this machine, one thread each.
#
#   benches/optuna/compare.sh [TRIALS] [GENES] [OPTIONS] [SECONDS]
#
# A sampler that has not made all TRIALS after SECONDS (60) of processor time is stopped; the time of its last trials is then
# measured after random ones that are only entered.
# The first use makes a virtual environment with Optuna from PyPI in target/optuna.
set -euo pipefail
cd "$(dirname "$0")/../.."

trials="${1:-1000}" genes="${2:-12}" options="${3:-4}" limit_s="${4:-60}"
kiln="${KILN:-${CARGO_TARGET_DIR:-target}/release/kiln}"
venv="${OPTUNA_VENV:-target/optuna}"

[[ -x "$kiln" ]] || cargo build --release --locked
if [[ ! -x "$venv/bin/python" ]]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet 'optuna==5.0.0'
fi

strategies="random,regularized_evolution,nsga2,local_search,clustered,gaussian_process"
"$venv/bin/python" benches/optuna/compare.py "$kiln" "$strategies" "$trials" "$genes" "$options" "$limit_s"
