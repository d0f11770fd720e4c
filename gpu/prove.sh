#!/usr/bin/env bash
# Tests and measures the worker on a GPU, without network. Runs every step, even after a failure. Each has a time limit
# and a log in OUT, by default gpu/results. Ends with a table of the steps.
#
#     gpu/prove.sh                 all steps
#     gpu/prove.sh protection …    only these
#
# The environment can name the driver's library (DRIVER, by default libcuda.so.1), the kernels (KERNELS) and more modules
# to measure (VARIANTS).
set -uo pipefail
cd "$(dirname "$0")/.."
[ -x gpu/bin/node ] && export PATH="$PWD/gpu/bin:$PATH"
export PATH="$PATH:/usr/local/cuda/bin"
driver=${DRIVER:-libcuda.so.1}
kernels=${KERNELS:-$PWD/cuda/build/vram_kernels.fatbin}
ptx=$PWD/cuda/build/vram_kernels.ptx
out=${OUT:-$PWD/gpu/results}
probe=$PWD/cuda/build/probe
mkdir -p "$out"
export VRAM_TEST_VECTORS=$PWD/test/vectors/tree.tsv
only=("$@")
table=()
failed=0

# step NAME SECONDS COMMAND…
step() {
  local name=$1 limit=$2 log status started=$SECONDS
  shift 2
  if [ ${#only[@]} -gt 0 ] && [[ " ${only[*]} " != *" $name "* ]]; then return; fi
  log=$out/$name.txt
  printf '\n== %s\n' "$name"
  timeout --kill-after=5 "$limit" "$@" > "$log" 2>&1
  status=$?
  tail -n "${TAIL:-15}" "$log"
  [ $status -eq 0 ] || failed=$((failed + 1))
  table+=("$(printf '%-24s status %3d  %4d s' "$name" $status $((SECONDS - started)))")
}

device() {
  nvidia-smi -L
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,pcie.link.gen.max,pcie.link.width.max,persistence_mode,ecc.mode.current,compute_cap --format=csv
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
}

build() {
  make -j"$(nproc)" -C cuda all probe build/vram_test build/example
}

# native KERNELS [FILTER]
native() {
  VRAM_TEST_DRIVER=$driver VRAM_TEST_KERNELS=$1 cuda/build/vram_test "${@:2}"
}

# if_present TOOL ARGUMENTS…
if_present() {
  if command -v "$1" > /dev/null; then "$@"; else echo "skipped: $1 is missing"; fi
}

export -f device build native if_present
export driver

step device 30 bash -c device
step build 180 bash -c build
step protection 120 "$probe/protection" "$driver"
step facts 120 "$probe/facts" "$driver" "$kernels"
step example 20 cuda/build/example "$driver" "$kernels"
step kernels 60 "$probe/kernel_rates" "$driver" "$kernels" "$ptx" ${VARIANTS:-}
step costs 90 "$probe/costs" "$driver" "$kernels" "${COSTS_MIB:-16384}"
step costs-ptx 60 "$probe/costs" "$driver" "$ptx" 1024
step copies 60 "$probe/copies" "$driver"
step waiting 60 "$probe/waiting" "$driver"
step decode 60 "$probe/decode" "$driver" "$kernels" "${DECODE_GIB:-8}"
step native 150 bash -c "native '$kernels'"
step native-ptx 60 bash -c "VRAM_TEST_QUICK=1 native '$ptx' digest"
step sanitizer 60 bash -c "if_present compute-sanitizer '$probe/costs' '$driver' '$kernels' 64"
step profile 60 bash -c "if_present ncu --clock-control none --launch-skip 3 --launch-count 1 --set detailed \
  '$probe/kernel_rates' '$driver' '$kernels'"
step bench 240 node bench/gpu.mjs --rounds "${ROUNDS:-3}" --out "$out/latest.json"
step tests 420 node test/gpu/run.mjs

printf '\n%s\n' "${table[@]}"
printf '%d steps failed\n' $failed
[ $failed -eq 0 ]
