#!/usr/bin/env bash
# Tests and measures the worker on a GPU, without network. Runs every step, even after a failure. Each has a time limit
# and a log in OUT, by default gpu/results. Ends with a table of the steps, which is also in OUT/summary.txt.
#
#     gpu/prove.sh                 all steps
#     gpu/prove.sh protection …    only these
#     gpu/prove.sh --quick …       less data and fewer rounds: shows that the steps work; the figures are meaningless
#
# The environment can name the driver's library (DRIVER, by default libcuda.so.1), the kernels (KERNELS), their PTX (PTX,
# empty to skip it) and more modules to measure (VARIANTS). Exit status: 0 if no step failed, 2 without a CUDA device.
set -uo pipefail
cd "$(dirname "$0")/.."
[ -x gpu/bin/node ] && export PATH="$PWD/gpu/bin:$PATH"
export PATH="$PATH:/usr/local/cuda/bin"
driver=${DRIVER:-libcuda.so.1}
kernels=${KERNELS:-$PWD/cuda/build/vram_kernels.fatbin}
ptx=${PTX-$PWD/cuda/build/vram_kernels.ptx}
probe=$PWD/cuda/build/probe
export VRAM_TEST_VECTORS=$PWD/test/vectors/tree.tsv WORKER_CUDA_DRIVER=$driver WORKER_CUDA_KERNELS=$kernels
quick=()
if [ "${1:-}" = --quick ]; then
  quick=(--quick)
  shift
  export PROBE_QUICK=1 VRAM_TEST_QUICK=1
fi
only=("$@")
table=()
failed=0

out=${OUT:-$PWD/gpu/results}
if ! mkdir -p "$out" 2> /dev/null || [ ! -w "$out" ]; then
  out=$(mktemp -d) || exit 1
  echo "cannot write to the folder of the results: using $out"
fi

# The device that the steps use is the first one. Puts the one with the most free memory first.
if [ -z "${CUDA_VISIBLE_DEVICES:-}" ] && command -v nvidia-smi > /dev/null && ! nvidia-smi -L | grep -q MIG; then
  order=$(nvidia-smi --query-gpu=memory.free,uuid --format=csv,noheader,nounits | sort -rn | sed 's/.*, *//' | paste -sd,)
  case $order in GPU-*) export CUDA_VISIBLE_DEVICES=$order ;; esac
fi

# step NAME SECONDS COMMAND…: a command with exit status 77 is skipped, and says why.
step() {
  local name=$1 limit=$2 log status result started=$SECONDS
  shift 2
  if [ ${#only[@]} -gt 0 ] && [[ " ${only[*]} " != *" $name "* ]]; then return; fi
  log=$out/$name.txt
  printf '\n== %s\n' "$name"
  timeout --kill-after=5 "$limit" "$@" > "$log" 2>&1 < /dev/null
  status=$?
  tail -n "${TAIL:-15}" "$log"
  case $status in
    0) result=passed ;;
    77) result="$(tail -n 1 "$log")" ;;
    124 | 137) result="FAILED after its limit of $limit s" ;;
    *) result="FAILED with status $status" ;;
  esac
  case $result in FAILED*) failed=$((failed + 1)) ;; esac
  table+=("$(printf '%-14s %4d s  %s' "$name" $((SECONDS - started)) "$result")")
}

skip() {
  echo "skipped: $1"
  exit 77
}

# if_present TOOL ARGUMENTS…
if_present() {
  command -v "$1" > /dev/null || skip "$1 is missing"
  "$@"
}

# Some programs can be missing here. Their absence is in the log.
device() {
  nvidia-smi -L
  nvidia-smi --query-gpu=name,driver_version,memory.total,memory.free,clocks.max.sm,clocks.max.mem,pcie.link.gen.max,pcie.link.width.max,persistence_mode,ecc.mode.current,mig.mode.current,compute_cap --format=csv
  nvidia-smi --query-compute-apps=pid,used_memory --format=csv
  uname -a
  getconf GNU_LIBC_VERSION
  grep -m1 'model name' /proc/cpuinfo
  nproc
  free -g
  df -h . /dev/shm /tmp
  nvcc --version
  g++ --version | head -1
  node --version
  ldconfig -p | grep libcuda
  [ ! -r /proc/driver/nvidia/version ] || cat /proc/driver/nvidia/version
}

build() {
  [ -w cuda/build ] || skip 'cuda/build is not writable: using the build of the archive'
  { command -v make && command -v g++; } > /dev/null || skip 'make or g++ is missing: using the build of the archive'
  make -j"$(nproc)" -C cuda all probe build/vram_test build/example
}

# native KERNELS [FILTER]
native() {
  [ -n "$1" ] || skip 'PTX is empty'
  VRAM_TEST_DRIVER=$driver VRAM_TEST_KERNELS=$1 cuda/build/vram_test "${@:2}"
}

# costs KERNELS MAXIMUM_MIB
costs() {
  [ -n "$1" ] || skip 'PTX is empty'
  "$probe/costs" "$driver" "$@"
}

export -f skip device build native costs if_present
export driver kernels ptx probe
make_is_missing() { ! { command -v make && command -v g++; } > /dev/null; }
if make_is_missing || [ ! -w cuda/build ]; then export VRAM_PREBUILT=1; fi

about() {
  date -u +%FT%TZ
  if [ -f gpu/commit ]; then cat gpu/commit; else git rev-parse HEAD 2> /dev/null; fi
  uname -srm
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2> /dev/null
  timeout 60 node gpu/device.mjs
}
about > "$out/summary.txt" 2>&1
has_device=$?
cat "$out/summary.txt"
[ $has_device -eq 0 ] || exit 2

small=${quick[0]:+64}
step build 180 bash -c build
step device 30 bash -c device
step protection 120 "$probe/protection" "$driver"
step facts 120 "$probe/facts" "$driver" "$kernels"
step example 20 cuda/build/example "$driver" "$kernels"
step vectors 60 bash -c 'native "$kernels" "digests of every vector"'
step vectors-ptx 60 bash -c 'native "$ptx" "digests of every vector"'
step kernels 180 "$probe/kernel_rates" "$driver" "$kernels" ${ptx:+"$ptx"} ${VARIANTS:-}
step native 150 bash -c 'native "$kernels"'
step native-ptx 60 bash -c 'VRAM_TEST_QUICK=1 native "$ptx" digest'
step costs 120 bash -c 'costs "$kernels" "$0"' "${small:-${COSTS_MIB:-16384}}"
step costs-ptx 60 bash -c 'costs "$ptx" "$0"' "${small:-1024}"
step copies 60 "$probe/copies" "$driver"
step waiting 60 "$probe/waiting" "$driver"
step sharing 120 "$probe/sharing" "$driver"
step decode 60 "$probe/decode" "$driver" "$kernels" "${DECODE_GIB:-8}"
step sanitizer 60 bash -c 'if_present compute-sanitizer "$probe/costs" "$driver" "$kernels" 64'
step profile 60 bash -c 'if_present ncu --clock-control none --launch-skip 3 --launch-count 1 --set detailed \
  "$probe/kernel_rates" "$driver" "$kernels"'
step bench 240 node bench/gpu.mjs "${quick[@]}" --rounds "${ROUNDS:-3}" --out "$out/latest.json"
step tests 420 node test/gpu/run.mjs "${quick[@]}"

printf '%s\n' '' "${table[@]}" "$failed steps failed" | tee -a "$out/summary.txt"
[ $failed -eq 0 ]
