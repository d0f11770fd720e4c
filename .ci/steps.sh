# Sourced by run and long: steps, and the count of tests over all of them.
export MAKEFLAGS=-j$(nproc)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed_steps=()
durations=()

# has NAME: whether a command, or the Python module that `python:NAME` names, is installed.
has() {
  case $1 in
    python:*) /usr/bin/python3 -c "import ${1#python:}" 2> /dev/null ;;
    *) command -v "$1" > /dev/null ;;
  esac
}

# install_missing NAME=PACKAGE…: installs the Debian packages of the commands and Python modules that are missing.
install_missing() {
  local pair packages=()
  for pair in "$@"; do
    has "${pair%%=*}" || packages+=("${pair#*=}")
  done
  [ ${#packages[@]} -gt 0 ] || return 0
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
}

# step NAME COMMAND…: runs a command, prints its duration, and records a failure.
step() {
  local name=$1 started=$SECONDS result=ok seconds
  shift
  printf '\n== %s\n' "$name"
  "$@" 2>&1 | tee -a "$log" || result=FAILED
  seconds=$((SECONDS - started))
  [ $result = ok ] || failed_steps+=("$name")
  printf '== %s: %s, %d s\n' "$name" "$result" "$seconds"
  durations+=("$(printf '%5d s  %s' "$seconds" "$name")")
}

# count passed|failed: adds up the last lines `N passed, N failed` of test/run.mjs and of the native tests.
count() {
  sed -nE "s/^([0-9]+ passed, )?([0-9]+) $1\b.*/\2/p" "$log" | awk '{ sum += $1 } END { print sum + 0 }'
}

# finish: prints the durations of the steps, the failed steps, and `N passed, N failed`. A failed step counts as a failed
# test if none of its tests failed.
finish() {
  local passed failed
  passed=$(count passed)
  failed=$(count failed)
  [ "$failed" -ge ${#failed_steps[@]} ] || failed=${#failed_steps[@]}
  printf '\n== durations\n'
  printf '%s\n' "${durations[@]}" "$(printf '%5d s  all' "$SECONDS")" | sort -rn
  [ ${#failed_steps[@]} -eq 0 ] || printf '\nfailed: %s\n' "${failed_steps[@]}"
  printf '\n%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ]
}
