#!/usr/bin/env bash
# Draws the pictures of README.md anew: the screen of the quickstart in the middle of its search, and the front
# of its report. Needs tmux and python3.
#
#   docs/images/make.sh [KILN]
set -euo pipefail
cd "$(dirname "$0")/../.."
kiln="$(realpath "${1:-target/release/kiln}")"
work="$(mktemp -d)"
tmux="tmux -L kiln-images"
trap '$tmux kill-server 2>/dev/null || true; rm -rf "$work"' EXIT
config="$PWD/configs/quickstart.toml"

$tmux new-session -d -s screen -x 118 -y 34 -c "$work"
$tmux send-keys -t screen "COLORTERM=truecolor '$kiln' search '$config'; touch done" Enter
until [[ -e "$work/done" ]]; do
    screen="$($tmux capture-pane -t screen -p -e)"
    # Late in the search: the last screen that shows three of four trials or more.
    if grep -qE '(7[5-9]|8[0-9]) %, [0-9]+ of 240 trials' <<<"$screen"; then
        printf '%s\n' "$screen" >"$work/screen.txt"
    fi
    sleep 0.2
done
python3 docs/images/terminal.py <"$work/screen.txt" >docs/images/screen.svg
(cd "$work" && "$kiln" report quickstart)
python3 docs/images/front.py "$work/quickstart.html" >docs/images/front.svg
