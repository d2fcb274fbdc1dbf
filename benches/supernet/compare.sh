#!/usr/bin/env bash
# Compares strategies on real networks. Every strategy with every seed judges networks with the weights of one
# supernet, which an earlier `kiln search configs/fashion-mnist.toml` has trained. So the runs differ only in
# their proposals. Prints hypervolume against trials. After an interruption, run it again to continue.
#
#     benches/supernet/compare.sh RUN DATA OUT [SEEDS [TRIALS]]
set -euo pipefail
if (($# < 3)); then
    echo "usage: $0 RUN DATA OUT [SEEDS [TRIALS]]" >&2
    exit 2
fi
run="$(realpath "$1")" data="$(realpath "$2")" out="$(realpath -m "$3")" seeds="${4:-5}" trials="${5:-100}"
cd "$(dirname "$0")/../.."
cargo build --release --locked --quiet
kiln="${CARGO_TARGET_DIR:-target}/release/kiln"

mkdir -p "$out"
for strategy in random regularized_evolution nsga2 clustered; do
    # The study of the config with the given supernet and without `[finish]`.
    sed -e "s/^strategy = .*/strategy = \"$strategy\"/" -e "s/^trials = .*/trials = $trials/" \
        -e "s/^name = .*/name = \"$strategy\"/" -e '/^\[finish\]/,$d' \
        -e "/^kind = \"supernet\"/a supernet = \"$run\"" configs/fashion-mnist.toml >"$out/$strategy.toml"
    for seed in $(seq "$seeds"); do
        "$kiln" search "$out/$strategy.toml" --data "$data" --runs "$out/$seed" --seed "$seed" --plain
    done
done
"$kiln" compare "$out"/*/random "$out"/*/regularized_evolution "$out"/*/nsga2 "$out"/*/clustered "${@:6}"
