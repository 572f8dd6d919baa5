#!/usr/bin/env bash
# What RESULTS.md shows of a recipe: trains it, alone on the machine, and keeps log and learning curve in results/.
#
#   benchmarks/results.sh austen "--published 70.5 PyTorch"
#   benchmarks/results.sh ptb-small "--published 121.4 Zaremba" --train ptb.train.txt --valid ptb.valid.txt
set -euo pipefail
recipe=${1:?name of a recipe} lines=${2:?lines of the picture}
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
name=$recipe${SEED:+.seed$SEED}
time python "$root/scripts/train.py" --config "$root/recipes/$recipe.toml" ${SEED:+--seed "$SEED"} \
    --checkpoint "runs/$name.safetensors" --log "runs/$name.jsonl" "$@"
cp "runs/$name.jsonl" "$root/results/"
unit=word
if grep -q '^unit = "char"' "$root/recipes/$recipe.toml"; then unit=char; fi
# shellcheck disable=SC2086 - several words on purpose
python "$root/benchmarks/curves.py" "$root/results/$name.png" "$root/results/$name.jsonl" --unit $unit $lines
