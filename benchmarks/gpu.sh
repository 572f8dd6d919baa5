#!/usr/bin/env bash
# All that is measured on a GPU, in under ten minutes: the four settings against PyTorch, seconds to compile, and a training
# from text to sentences. Results go to $OUT (default: gpu_results). DEVICE=cpu tries it out where there is no GPU, PARTS
# (default: speed start memory train) leaves some out. What fails stops nothing else; the exit status tells.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
out=${OUT:-gpu_results}
device=${DEVICE:-gpu}
rounds=${ROUNDS:-5}
failed=0
mkdir -p "$out"
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

logged() { # name of a text file, command
    local file=$out/$1.txt
    shift
    "$@" 2>&1 | tee "$file" || { failed=1 && echo "failed: $*"; }
}

logged devices python3 -c 'import jax; print("JAX", jax.__version__, jax.devices())'
for part in ${PARTS:-speed start memory train}; do
    case $part in
    speed)
        for setting in tutorial characters ptb-small ptb-medium; do
            logged "speed-$setting" python3 benchmarks/speed.py --device "$device" --engines jax --rounds "$rounds" \
                --settings $setting --json "$out/speed-$setting.json"
        done
        ;;
    start)
        logged start python3 benchmarks/speed.py --device "$device" --engines jax --start --json "$out/start.json"
        ;;
    memory)
        logged memory python3 benchmarks/memory.py --device "$device" --run
        ;;
    train)
        logged train python3 scripts/train.py --engine jax --device "$device" --cell lstm \
            --max-seconds "${SECONDS_TO_TRAIN:-60}" --checkpoint "$out/model.safetensors" --log "$out/train.jsonl"
        logged samples python3 scripts/generate.py "$out/model.safetensors" --engine jax --device "$device" --num-samples 3
        ;;
    *)
        echo "PARTS: speed, start, memory or train, got $part"
        exit 2
        ;;
    esac
done
exit $failed
