#!/usr/bin/env bash
# Measures the milliseconds of ask and tell for each trial, for Kiln's strategies and Optuna's samplers. Both
# get the same space (genes with equally many options) and the same number of trials. They run one after the
# other, with one thread.
#
#   benches/optuna/compare.sh [TRIALS] [GENES] [OPTIONS] [SECONDS]
#
# A sampler that has not finished TRIALS after SECONDS (60) of processor time is stopped. The time of its last
# trials is then measured separately, after random trials that were only recorded. The first use creates a
# virtual environment with Optuna in target/optuna.
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
