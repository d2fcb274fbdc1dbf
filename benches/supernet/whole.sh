#!/usr/bin/env bash
# Compares strategies on the estimates of one supernet, which an earlier `kiln search
# configs/fashion-mnist.toml` has trained. Judges every network of the space once, and then runs every
# strategy on these results with any number of seeds. After an interruption, run it again to continue.
#
#     benches/supernet/whole.sh RUN DATA OUT [SEEDS [TRIALS]]
set -euo pipefail
if (($# < 3)); then
    echo "usage: $0 RUN DATA OUT [SEEDS [TRIALS]]" >&2
    exit 2
fi
run="$(realpath "$1")" data="$(realpath "$2")" out="$(realpath -m "$3")" seeds="${4:-50}" trials="${5:-100}"
cd "$(dirname "$0")/../.."
[[ -n "${KILN:-}" ]] || cargo build --release --locked --quiet
kiln="${KILN:-${CARGO_TARGET_DIR:-target}/release/kiln}"

mkdir -p "$out"
# The study of the config with the given supernet and without `[finish]`. It ends when the space is exhausted.
sed -e 's/^strategy = .*/strategy = "random"/' -e 's/^trials = .*/trials = 1000000/' -e 's/^name = .*/name = "whole"/' \
    -e '/^\[finish\]/,$d' -e "/^kind = \"supernet\"/a supernet = \"$run\"" configs/fashion-mnist.toml >"$out/whole.toml"
"$kiln" search "$out/whole.toml" --data "$data" --runs "$out" --plain
in_flight="$(sed -n 's/^in_flight = \([0-9]*\).*/\1/p' "$out/whole.toml")"
"$kiln" bench study "$out/whole" --in-flight "$in_flight" --budget "$trials" --seeds "$seeds" --baseline random,regularized_evolution,nsga2 \
    --strategy random,regularized_evolution,nsga2,clustered,gaussian_process --plot "$out/whole.svg" "${@:6}"
