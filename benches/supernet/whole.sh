#!/usr/bin/env bash
# Strategies on the answers of one supernet, which an earlier `kiln search configs/fashion-mnist.toml` has trained: judges every network of the
# space once, then runs every strategy on what is known, with as many seeds as one likes. Interrupted, it goes on where it was.
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
# The study of the config, on the given supernet and without finishing; it ends when nothing is left to propose.
sed -e 's/^strategy = .*/strategy = "random"/' -e 's/^trials = .*/trials = 1000000/' -e 's/^name = .*/name = "whole"/' \
    -e '/^\[finish\]/,$d' -e "/^kind = \"supernet\"/a supernet = \"$run\"" configs/fashion-mnist.toml >"$out/whole.toml"
"$kiln" search "$out/whole.toml" --data "$data" --runs "$out" --plain
in_flight="$(sed -n 's/^in_flight = \([0-9]*\).*/\1/p' "$out/whole.toml")"
"$kiln" bench study "$out/whole" --in-flight "$in_flight" --budget "$trials" --seeds "$seeds" --baseline random,regularized_evolution,nsga2 \
    --strategy random,regularized_evolution,nsga2,clustered,gaussian_process --plot "$out/whole.svg" "${@:6}"
