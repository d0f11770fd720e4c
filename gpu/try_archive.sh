#!/usr/bin/env bash
# gpu/try_archive.sh ARCHIVE [STEP…]: runs prove.sh --quick of an archive with the simulator in place of NVIDIA's driver, found
# by its name and used without controls. The archive is unpacked elsewhere. PATH has no Node and no compiler, and the host's
# network is out of reach if the system permits a network namespace.
set -euo pipefail
archive=$(realpath "$1")
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/bin" "$folder/driver"
tar -C "$folder" -xf "$archive"
kit=$folder/vram-residency
cp "$kit/cuda/build/libcuda_sim.so" "$folder/driver/libcuda.so.1"
for file in /usr/bin/* /bin/*; do
  case ${file##*/} in
    node | nodejs | npm | npx | make | g++* | gcc* | c++* | cc) ;;
    *) ln -sf "$file" "$folder/bin/" ;;
  esac
done

# Runs a command without network but with loopback, which a new namespace has down.
isolated() {
  if unshare -n ip link set lo up 2> /dev/null; then
    unshare -n sh -c 'ip link set lo up && exec "$@"' sh "$@"
  else
    echo 'a network namespace is not permitted: the network stays reachable'
    "$@"
  fi
}

isolated env -i PATH="$folder/bin" HOME="$folder" LD_LIBRARY_PATH="$folder/driver" CUDA_SIM_DEVICES=3GiB PTX= \
  KERNELS="$kit/cuda/build/vram_kernels.sim" "$kit/gpu/prove.sh" --quick "$@"
