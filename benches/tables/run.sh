#!/usr/bin/env bash
# Makes the tables of strategies in docs/benchmarks.md: one Markdown row for each strategy, with its processor
# time.
#
#   benches/tables/run.sh DATA OUT [TABLE ...]
#
# DATA is a folder with the published tables (nasbench201, nas_bench_macro, hw_nas_bench). OUT gets one file
# for each TABLE, and plots. The tables are cells, denoised, equal, ablations, proxies, epochs, macro,
# edgegpu, raspi4, edgetpu. Without a TABLE, all are made. The variables SEEDS (500) and SEEDS_SEVERAL (50,
# for several objectives) set the number of seeds, and RUN_WITH names a command that runs each part.
set -euo pipefail
cd "$(dirname "$0")/../.."
data="$1" out="$2"
shift 2
tables=("$@")
[[ ${#tables[@]} -gt 0 ]] || tables=(cells denoised equal ablations proxies epochs macro edgegpu raspi4 edgetpu)
seeds="${SEEDS:-500}" several="${SEEDS_SEVERAL:-50}"
mkdir -p "$out"
program="${PROGRAM:-${CARGO_TARGET_DIR:-target}/release/examples/tables}"
[[ -x "$program" ]] || cargo build --release --locked -p kiln-search --example tables

models=(clustered gaussian_process ensemble)
plain=(random nsga2 sms_emoa 'regularized_evolution:{"population":10,"tournament":3}' regularized_evolution
    simulated_annealing local_search)

# Rows of one table: FILE TABLE SEEDS STRATEGIES [PLOT.svg]
rows() {
    local TIMEFORMAT='%U s of processor time'
    local file="$out/$1.md" before="$SECONDS"
    shift
    { time ${RUN_WITH:-} "$program" "$data" "$@" >>"$file"; } 2>>"$file"
    echo "$1 $3: $((SECONDS - before)) s" >&2
}

early='{"epochs":[12],"reduction":8}'
for table in "${tables[@]}"; do
    name="${table%%:*}"
    : >"$out/$name.md"
    case "$table" in
    cells) for strategy in "${plain[@]}" "${models[@]}"; do rows cells cells "$seeds" "$strategy"; done ;;
    denoised) for strategy in random regularized_evolution local_search clustered; do
        rows denoised denoised "$seeds" "$strategy"
    done ;;
    equal) for strategy in random regularized_evolution local_search clustered; do
        rows equal equal "$seeds" "$strategy"
    done ;;
    ablations) for strategy in '{"design":"random"}' '{"clusters":1}' '{"clusters":1,"design":"random"}' \
        '{"grouping":"hierarchical"}' '{"grouping":"dbscan"}' '{"acquisition":"expected_improvement"}'; do
        rows ablations cells "$seeds" "clustered:$strategy"
        rows ablations macro "$seeds" "clustered:$strategy"
    done ;;
    proxies) for strategy in random regularized_evolution clustered; do
        rows proxies proxies "$seeds" "$strategy,$strategy:{\"proxies\":{\"draw\":60,\"keep\":10}}"
    done ;;
    epochs) rows epochs epochs "$seeds" \
        "random,regularized_evolution,successive_halving:$early,hyperband:$early,asha:$early,bohb:$early" "$out/epochs.svg" ;;
    macro) rows macro macro "$seeds" \
        random,regularized_evolution,nsga2,simulated_annealing,local_search,clustered,gaussian_process "$out/macro.svg" ;;
    *) rows "$name" "$table" "$several" \
        random,regularized_evolution,nsga2,sms_emoa,clustered,gaussian_process "$out/$name.svg" ;;
    esac
done
