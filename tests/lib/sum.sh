# shellcheck shell=bash
# sum_run TIER DIRECTORY PATTERN [ARGUMENT...]: runs DIRECTORY/NNN-*.sh and adds up the lines
# "N passed, N failed" that each ends with. A script that ends without one has failed.
#
# JOBS run at a time: one more than there are processors by default, since they wait a lot; JOBS=1
# runs one after another. The output of a script is shown as one piece when it ends. A script that
# takes longer than SCRIPT_TIMEOUT_SEC gets SIGTERM, and time to end what it has started.
# SCRIPT_SKIP="050-keys ..." leaves some out.

# slowest FILE: the longest of its lines "SECONDS NAME", for one line of people's attention.
slowest() {
  sort -rn "$1" | head -n 5 |
    awk '{ printf "%s%s %d s", (NR > 1 ? ", " : "   slowest: "), $2, $1 } END { if (NR) print "" }'
}

sum_run() {
  local tier=$1 dir=$2 pattern=$3 script
  shift 3
  local limit=${JOBS:-$(($(nproc) + 1))}
  SUM_DIR=$(mktemp -d)
  declare -gA SUM_PIDS=() # of the scripts that run, by name
  SUM_PASSED=0 SUM_FAILED=0 SUM_NAMES=
  : >"$SUM_DIR/seconds"
  mkfifo "$SUM_DIR/ended"
  exec {SUM_ENDED}<>"$SUM_DIR/ended"
  trap sum_end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  for script in "$dir"/[0-9][0-9][0-9]-*.sh; do
    [[ ${script##*/} == *"$pattern"* ]] || continue
    [[ " ${SCRIPT_SKIP:-} " != *" $(basename "$script" .sh) "* ]] || continue
    while ((${#SUM_PIDS[@]} >= limit)); do sum_collect; done
    sum_script "$script" "$@" &
    SUM_PIDS[${script##*/}]=$!
  done
  while ((${#SUM_PIDS[@]} > 0)); do sum_collect; done
  slowest "$SUM_DIR/seconds"
  [[ -z $SUM_NAMES ]] || echo "   failed:$SUM_NAMES"
  echo "$tier: $SUM_PASSED passed, $SUM_FAILED failed"
  ((SUM_FAILED == 0 && SUM_PASSED > 0))
}

# In the background: one script, and a word to sum_collect when it has ended.
sum_script() {
  local name=${1##*/} status started=$SECONDS
  trap - EXIT
  timeout -k 90 "${SCRIPT_TIMEOUT_SEC:-900}" bash "$@" >"$SUM_DIR/$name" 2>&1 </dev/null &
  # shellcheck disable=SC2064 # the pid of now
  trap "kill $!" TERM
  wait $!
  status=$?
  echo "$name $status $((SECONDS - started))" >&"$SUM_ENDED"
}

# Waits until one script has ended, shows and counts it.
sum_collect() {
  local name status seconds line ok=0 bad=0
  read -r name status seconds <&"$SUM_ENDED"
  unset "SUM_PIDS[$name]"
  echo "$seconds $name" >>"$SUM_DIR/seconds"
  echo "== $name"
  cat "$SUM_DIR/$name"
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$SUM_DIR/$name" | tail -n 1)
  if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    ok=${BASH_REMATCH[1]} bad=${BASH_REMATCH[2]}
  fi
  if ((status == 124 || status == 137)); then
    echo "NOT OK  $name did not end within ${SCRIPT_TIMEOUT_SEC:-900} s"
    bad=$((bad + 1))
  elif [[ -z $line ]]; then
    echo "NOT OK  $name ended without a count (exit $status)"
    bad=$((bad + 1))
  elif ((status != 0 && bad == 0)); then
    echo "NOT OK  $name: exit $status"
    bad=1
  fi
  SUM_PASSED=$((SUM_PASSED + ok)) SUM_FAILED=$((SUM_FAILED + bad))
  ((bad == 0)) || SUM_NAMES+=" $name"
  echo "   $name: $seconds s"
}

# Also when the runner is told to stop: whatever still runs ends its gateways and servers first.
sum_end() {
  trap - EXIT
  ((${#SUM_PIDS[@]} == 0)) || kill "${SUM_PIDS[@]}" 2>/dev/null
  wait
  rm -rf "$SUM_DIR"
}
