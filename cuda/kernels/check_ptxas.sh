#!/bin/sh
# check_ptxas.sh REPORT COUNT: fails unless ptxas reports COUNT compilations, none with a warning, a spill or a stack frame.
set -eu
report=$1
count=$2
clean='0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads'
if grep -i 'warning' "$report"; then
  echo "$report: a warning" >&2
  exit 1
fi
if grep -E 'stack frame' "$report" | grep -v "$clean"; then
  echo "$report: a spill or a stack frame" >&2
  exit 1
fi
if [ "$(grep -c "$clean" "$report")" -ne "$count" ]; then
  echo "$report: not one report per architecture" >&2
  exit 1
fi
