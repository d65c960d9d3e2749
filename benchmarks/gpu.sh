#!/bin/sh
# Runs all tests and measurements that need a GPU within a time budget, the most important first:
#
#     OUT=folder TEXT=babylm.tar.xz sh benchmarks/gpu.sh
#
# 1. the tests marked gpu
# 2. the recipe study: its conditions `baseline` (upstream's settings) and `final` (those of the
#    presets for a GPU), with seed 0
# 3. our loss kernel, compared with the kernel of liger-kernel
# 4. speed of the presets
# 5. the other conditions and seeds of the study, until the budget is spent
#
# The output folder records the finished parts, so the same command continues after an interruption.
# SHAPE=tiny runs part 2 on a CPU within a minute. The variables, with their defaults in brackets:
#
#   OUT            output folder: results.jsonl, bench.jsonl, tests.log       (runs/gpu)
#   TEXT           text of the study: a folder or archive with train_10M, dev (none: study skipped)
#   PAIRS          folder of BLiMP, to score the models of the study          (none: not scored)
#   BUDGET_SECONDS seconds for the whole script                               (540)
#   SHAPE          shape of the study, see benchmarks/recipe/conditions.py    (gpu-10m)
#   PARALLEL       runs of the study at a time                                (3)
#   ARCHITECTURES  architectures of the study                               (olmo2 gemma2 llama4)
#   LIGER          folder of `pip install --target FOLDER --no-deps liger-kernel` (none: installed)
#   PYTHON         interpreter                                                (.venv/bin/python)
set -u
OUT=${OUT:-runs/gpu}
TEXT=${TEXT:-}
PAIRS=${PAIRS:-}
BUDGET_SECONDS=${BUDGET_SECONDS:-540}
SHAPE=${SHAPE:-gpu-10m}
PARALLEL=${PARALLEL:-3}
ARCHITECTURES=${ARCHITECTURES:-olmo2 gemma2 llama4}
PYTHON=${PYTHON:-.venv/bin/python}
began=$(date +%s)
status=0
mkdir -p "$OUT"

left() {
    echo $((BUDGET_SECONDS - $(date +%s) + began))
}

# step NAME SECONDS COMMAND...: runs a command, unless an earlier call has finished it. Stops the
# command after SECONDS, or when the budget is spent.
step() {
    name=$1 limit=$2
    shift 2
    [ -e "$OUT/$name.done" ] && return
    [ "$(left)" -lt "$limit" ] && limit=$(left)
    if [ "$limit" -le 0 ]; then
        echo "gpu.sh: no time is left for $name" >&2
        return
    fi
    if timeout "$limit" "$@"; then
        touch "$OUT/$name.done"
    else
        echo "gpu.sh: $name did not finish; run the same command again" >&2
        status=1
    fi
}

study() {
    seconds=$(left)
    if [ "$seconds" -le 0 ]; then
        echo "gpu.sh: no time is left for the study" >&2
        return
    fi
    "$PYTHON" -m benchmarks.recipe ${TEXT:+--text "$TEXT"} ${PAIRS:+--pairs "$PAIRS"} \
        --work "$OUT/recipe" --results "$OUT/results.jsonl" --shape "$SHAPE" --parallel "$PARALLEL" \
        --architectures $ARCHITECTURES --budget-seconds "$seconds" "$@" || status=1
}

if [ "$SHAPE" != tiny ]; then
    step tests 120 "$PYTHON" -m pytest -m gpu -n 0 tests/core/training >"$OUT/tests.log" 2>&1
fi
study --seeds 0 --conditions baseline final
if [ "$SHAPE" != tiny ]; then
    PYTHONPATH=${LIGER:-} step loss 60 "$PYTHON" -m benchmarks loss >>"$OUT/bench.jsonl"
    step presets 150 "$PYTHON" -m benchmarks train >>"$OUT/bench.jsonl"
    study
fi
"$PYTHON" -m benchmarks.recipe --results "$OUT/results.jsonl" --report
exit $status
