#!/bin/sh
# Builds libvram, the simulated driver and its kernels for `npm install`. Reports missing build tools.
set -eu
case $0 in */*) cd "${0%/*}" ;; esac

compiler=${CXX:-g++}
missing=
command -v "$compiler" > /dev/null 2>&1 || missing="$missing a C++17 compiler ($compiler; Debian package g++),"
command -v make > /dev/null 2>&1 || missing="$missing GNU make (Debian package make),"
if [ -n "$missing" ]; then
  echo "cuda/install.sh: missing:${missing%,}." >&2
  echo "cuda/install.sh: on Debian and Ubuntu, as root: apt-get install g++ make" >&2
  exit 1
fi

exec make --silent -j "$(getconf _NPROCESSORS_ONLN)" all
