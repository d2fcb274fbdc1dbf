#!/usr/bin/env bash
# Tests this example in the environment that benches/pytorch/compare.sh makes, or in PYTORCH_VENV. KILN names
# a program that is built already.
#
#   examples/pytorch/test.sh [DATA]
#
# First, the module of network.py is compared with ONNX Runtime: for exported networks with every operation,
# and for networks of three search spaces. With DATA, the folder of Fashion-MNIST, a short search follows, in
# which train.py trains 20 networks. ONNX Runtime's error of the winner must be the one that the script
# reported.
set -euo pipefail
cd "$(dirname "$0")/../.."

data="${1:+$(realpath "$1")}"
target="$(realpath -m "${CARGO_TARGET_DIR:-target}")"
venv="$(realpath -m "${PYTORCH_VENV:-$target/pytorch}")"
if [[ ! -x "$venv/bin/python" ]]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement benches/pytorch/requirements.txt
fi
export PATH="$venv/bin:$PATH" OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
kiln="${KILN:-$target/release/kiln}"
[[ -n "${KILN:-}" ]] || cargo build --release --locked --quiet
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

cargo run --release --locked --quiet -p kiln-export --features testing --example layer_samples -- \
    "$work/samples"
python3 examples/pytorch/check.py --exports "$work/samples"

cd examples/pytorch
stages="stages = [{ blocks = ['conv', 'separable', 'mbconv', 'residual', 'identity'], depth = [1, 2],
    width = [8, 12], kernel = [3, 5], stride = 2, squeeze_excitation = [false, true],
    activation = ['relu', 'relu6', 'hard_swish', 'hard_sigmoid', 'sigmoid', 'silu', 'tanh', 'gelu'] }]"
for space in "kind = 'mlp'
layers = [1, 2]
width = [8, 16]" "kind = 'stages'
$stages" "kind = 'nasbench201'"; do
    cat >"$work/check.toml" <<END
[study]
name = "check-$RANDOM-$RANDOM"
[data]
kind = "digits"
[space]
$space
[evaluator]
kind = "command"
command = ["python3", "check.py", "{architecture}", "{onnx}", "{initial_weights}"]
metrics = ["difference"]
[search]
strategy = "random"
trials = 8
panics_in_a_row = 1
END
    "$kiln" search "$work/check.toml" --runs "$work/runs" --plain --workers 2
done

if [[ -z "$data" ]]; then
    echo "skipped: the search, which needs the folder of Fashion-MNIST"
    exit
fi
sed 's/"\$DATA" "\$@"/"$DATA" --images 2000 "$@"/' fashion-mnist.toml >"$work/short.toml"
DATA="$data" "$kiln" check "$work/short.toml" --try --data "$data"
DATA="$data" "$kiln" search "$work/short.toml" --data "$data" --runs "$work/runs" --plain --workers 2
for model in "$work"/runs/pytorch/models/*/; do
    python3 check.py --accuracy "$model" "$data"
    "$kiln" eval "$model" --data "$data"
done
