#!/usr/bin/env bash
# How well do supernets rank networks? Trains the supernet of benches/supernet/small.toml in several ways that
# process equally many images, and compares the estimates with the same networks trained on their own. After
# an interruption, run it again to continue.
#
#     benches/supernet/audit.sh DATA OUT [NETWORKS [REPEATS]]
set -euo pipefail
if (($# < 2)); then
    echo "usage: $0 DATA OUT [NETWORKS [REPEATS]]" >&2
    exit 2
fi
data="$(realpath "$1")" out="$(realpath -m "$2")" networks="${3:-20}" repeats="${4:-2}"
cd "$(dirname "$0")/../.."
cargo build --release --locked --quiet
kiln="${CARGO_TARGET_DIR:-target}/release/kiln"

mkdir -p "$out"
# An audit reuses the networks that an earlier audit trained.
known="$out/trained.jsonl"
audit() { # name, sampling, subnets a step, rate, epochs
    sed -e "s/^name = .*/name = \"$1\"/" -e "s/^sampling = .*/sampling = \"$2\"/" -e "s/^subnets = .*/subnets = $3/" \
        -e "/^sampling/,/^calibration/s/learning_rate = [0-9.]*/learning_rate = $4/" \
        -e "/^kind = \"supernet\"/,/^sampling/s/^epochs = .*/epochs = $5/" benches/supernet/small.toml >"$out/$1.toml"
    "$kiln" search "$out/$1.toml" --data "$data" --runs "$out" --plain
    [[ -e "$out/$1/audit.jsonl" || ! -e "$known" ]] || cp "$known" "$out/$1/audit.jsonl"
    echo "$1:"
    "$kiln" supernet audit "$1" --data "$data" --runs "$out" --networks "$networks" --repeats "$repeats"
    cp "$out/$1/audit.jsonl" "$known"
}
audit sandwich sandwich 3 0.2 3
audit single-path single_path 1 0.1 9
