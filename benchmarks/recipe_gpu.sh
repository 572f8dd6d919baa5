#!/usr/bin/env bash
# A recipe on a GPU, in calls of a few minutes: each continues where the last one stopped (runs/RECIPE.safetensors).
#
#   TRAIN=corpora/ptb.train.txt VALID=corpora/ptb.valid.txt benchmarks/recipe_gpu.sh ptb-medium 9
#   TRAIN=corpora/input.txt benchmarks/recipe_gpu.sh char-shakespeare 9
#   TRAIN=corpora/ptb.train.txt VALID=corpora/ptb.valid.txt benchmarks/recipe_gpu.sh ptb-medium 5 --epochs 40
#
# What follows the minutes are flags of train.py, for the first call. Log and learning curve go to $OUT (default:
# gpu_results). DEVICE=cpu tries it out where there is no GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
recipe=${1:?name of a recipe} minutes=${2:?minutes of training}
shift 2
out=${OUT:-gpu_results}
checkpoint=runs/$recipe.safetensors
mkdir -p "$out" runs
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
files=(--train "${TRAIN:?training text}")
if [ -n "${VALID:-}" ]; then files+=(--valid "$VALID"); fi
resume=()
if [ -e "$checkpoint" ]; then resume=(--resume); fi
python3 -c 'import jax; print("JAX", jax.__version__, jax.devices())' | tee "$out/devices.txt"
python3 scripts/train.py --config "$recipe" "${files[@]}" --engine jax --device "${DEVICE:-gpu}" \
    --checkpoint "$checkpoint" --max-seconds "$(python3 -c "print(60 * $minutes)")" "${resume[@]}" "$@" 2>&1 |
    tee "$out/$recipe.txt"
cp "runs/$recipe.jsonl" "$out/"
if python3 -c 'import matplotlib' 2>/dev/null; then
    unit=word
    if grep -q '^unit = "char"' "theano_rnn/recipes/$recipe.toml"; then unit=char; fi
    python3 benchmarks/curves.py "$out/$recipe.png" "$out/$recipe.jsonl" --unit $unit
fi
