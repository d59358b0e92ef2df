# shellcheck shell=bash
# sum_run TIER DIRECTORY PATTERN [ARGUMENT...]: runs DIRECTORY/NNN-*.sh and adds up the lines
# "N passed, N failed" that each ends with. A script that ends without one has failed.
sum_run() {
  local tier=$1 dir=$2 pattern=$3
  shift 3
  local passed=0 failed=0 log line script started
  log=$(mktemp)
  for script in "$dir"/[0-9][0-9][0-9]-*.sh; do
    [[ ${script##*/} == *"$pattern"* ]] || continue
    started=$SECONDS
    echo "== ${script##*/}"
    timeout "${SCRIPT_TIMEOUT_SEC:-900}" bash "$script" "$@" 2>&1 | tee "$log"
    local status=${PIPESTATUS[0]}
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
      passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
      if ((status != 0 && BASH_REMATCH[2] == 0)); then failed=$((failed + 1)); fi
    else
      echo "NOT OK  ${script##*/} ended without a count (exit $status)"
      failed=$((failed + 1))
    fi
    echo "   ${script##*/}: $((SECONDS - started)) s"
  done
  rm -f "$log"
  echo "$tier: $passed passed, $failed failed"
  ((failed == 0 && passed > 0))
}
