#!/usr/bin/env bash
# All that is measured on a GPU, in under ten minutes: the four settings against PyTorch, seconds to compile, and a training
# from text to sentences. Results go to $OUT (default: gpu_results). DEVICE=cpu tries it out where there is no GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-gpu_results}
device=${DEVICE:-gpu}
rounds=${ROUNDS:-5}
mkdir -p "$out"
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
python3 -c 'import jax; print("JAX", jax.__version__, jax.devices())' | tee "$out/devices.txt"
python3 benchmarks/speed.py --device "$device" --engines jax --rounds "$rounds" --json "$out/speed.json" | tee "$out/speed.txt"
python3 benchmarks/speed.py --device "$device" --engines jax --start --json "$out/start.json" | tee "$out/start.txt"
python3 benchmarks/memory.py --device "$device" --run | tee "$out/memory.txt"
python3 scripts/train.py --engine jax --device "$device" --cell lstm --max-seconds "${SECONDS_TO_TRAIN:-60}" \
    --checkpoint "$out/model.safetensors" --log "$out/train.jsonl" 2>&1 | tee "$out/train.txt"
python3 scripts/generate.py "$out/model.safetensors" --engine jax --device "$device" --num-samples 3 | tee "$out/samples.txt"
