#!/usr/bin/env bash
# Everything that only a GPU can show, in one go: what the machine has, the kernels, the engines, the tests, the bench.
#
#     benchmarks/gpu_check.sh [--device cuda:0] [--out gpu_check.json] [--minutes 10]
#
# Needs bash, coreutils and a Python (PYTHON, by default python3.12, else python3) with torch for CUDA, CuPy, onnx and
# onnxruntime. What else is missing comes from pip, or from a folder of wheels alone where WHEELS names one. Weights are
# fetched, or taken from $VCN_HOME. Each step has a limit and a log of its own; none that fails stops the others. The
# JSON is written anew after every step, and at the end a table of it. Exit status: 0 where every step passed, else 3.
# --device cpu runs the same steps without a card, which tries this script and little else.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
device=cuda:0
out=gpu_check.json
minutes=10
while [ $# -gt 0 ]; do
  case $1 in
    --device) device=${2:?} ;;
    --out) out=${2:?} ;;
    --minutes) minutes=${2:?} ;;
    *)
      echo "gpu_check.sh: unknown option $1; known: --device, --out, --minutes" >&2
      exit 2
      ;;
  esac
  shift 2
done
python=${PYTHON:-$(command -v python3.12 || command -v python3)}
mkdir -p "$(dirname "$out")"
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
logs=${out%.json}.logs
mkdir -p "$logs"
end=$((SECONDS + minutes * 60))
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
case $device in cuda*) export VCN_REQUIRE_GPU=1 ;; esac

check() { "$python" "$here/gpu_check.py" "$@"; }

# step NAME LIMIT COMMAND...: at most so many seconds, and no more than are left. A NAME.json among the logs is the
# step's result and goes into the record.
step() {
  local name=$1 limit=$2 started=$SECONDS rc
  shift 2
  [ $((end - SECONDS)) -lt "$limit" ] && limit=$((end - SECONDS))
  if [ "$limit" -lt 5 ]; then
    record "$name" 77 0 0 "no time was left"
    return
  fi
  echo "== $name"
  timeout --kill-after=10 "$limit" "$@" >"$logs/$name.log" 2>&1
  rc=$?
  tail -n 3 "$logs/$name.log"
  record "$name" "$rc" $((SECONDS - started)) "$limit" ""
}

skip() { record "$1" 77 0 0 "$2"; }

record() {
  check add "$out" --step "$1" --status "$2" --seconds "$3" --limit "$4" --reason "$5" \
    --log "$logs/$1.log" --result "$logs/$1.json"
}

check begin "$out" --device "$device"

# Where the Python at hand has all that is needed it is taken as it is; else what is missing goes into one that sees it.
venv=${out%.json}.venv
step setup 150 "$python" "$here/gpu_check.py" setup "$venv" --wheels "${WHEELS:-}"
if [ -x "$venv/bin/python" ]; then python=$venv/bin/python; fi
vcn=("$python" -m vcn_trt)
step weights 60 "${vcn[@]}" models fetch
step doctor 60 "${vcn[@]}" doctor

# 1. The decoder's libraries, and decoding with one session and with many.
case $device in
  cuda*) step libraries 30 "$python" "$here/gpu_check.py" libraries ;;
  *) skip libraries "a CPU has no need of them" ;;
esac
step decode 90 "${vcn[@]}" bench -q --device "$device" --only decode --streams 1,2,4,7 --seconds 2 \
  --out "$logs/decode.json"

# 2. Kernels against NumPy, with every other test that needs a card; then under the sanitizers.
step tests 300 "$python" -m pytest -v -m gpu -p no:cacheprovider --durations 10 --rootdir "$root" "$root/tests"
step kernels 60 "$python" "$root/tests/kernels/exercise.py" "$device"
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
for tool in memcheck racecheck; do
  case $device:$sanitizer in
    cuda*:) skip "$tool" "compute-sanitizer is not here; it comes with the CUDA toolkit" ;;
    cuda*) step "$tool" 100 "$sanitizer" --tool "$tool" --error-exitcode 9 --target-processes all \
      "$python" "$root/tests/kernels/exercise.py" "$device" ;;
    *) skip "$tool" "it watches a card" ;;
  esac
done

# 3. Frames that are read with and without waiting for the decoder must agree.
step streams 60 "$python" "$here/gpu_check.py" streams "$device"

# 4. Engines: built, held to their reference on the way, refitted.
case $device in
  cuda*)
    step engines 150 "${vcn[@]}" engines build
    step engines-list 30 "${vcn[@]}" engines list
    ;;
  *)
    skip engines "a CPU runs no engines"
    skip engines-list "a CPU runs no engines"
    ;;
esac
step refit 90 "${vcn[@]}" bench -q --device "$device" --only refit --seconds 2 --out "$logs/refit.json"

# 5. Everything else that can be measured, beside its peers. What is done when the time is over is in the record.
step bench 400 "${vcn[@]}" bench -q --device "$device" --only kernels,detect,embed,adapt,cluster,whole --streams 1,4 \
  --seconds 1 --out "$logs/bench.json"

check show "$out"
