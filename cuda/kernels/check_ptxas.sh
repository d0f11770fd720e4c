#!/bin/sh
# Usage: check_ptxas.sh REPORT COUNT
# Fails unless REPORT, the output of ptxas -v, has COUNT compilations without a warning, a spill or a stack frame.
set -eu
report=$1
count=$2
clean='0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads'
if grep -i 'warning' "$report"; then
  echo "$report: ptxas reported a warning" >&2
  exit 1
fi
if grep -E 'stack frame' "$report" | grep -v "$clean"; then
  echo "$report: the kernel uses a stack frame or spills registers" >&2
  exit 1
fi
if [ "$(grep -c "$clean" "$report")" -ne "$count" ]; then
  echo "$report: expected $count compilations, one per architecture" >&2
  exit 1
fi
