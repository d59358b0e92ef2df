# shellcheck shell=bash
# What the measurements print: one figure a line, name<TAB>value<TAB>unit. Needs TOP.
#
#   figure NAME VALUE UNIT
#   machine NAME COMMAND   the figures that say where and when NAME's were taken; the load is that of
#                          before, with whatever else runs on the machine in it
#   machine_after NAME     and the load of afterwards
#   need COMMAND...        ends the script if one is missing
#   say WORD...            a line for people

figure() { printf '%s\t%s\t%s\n' "$1" "$2" "$3"; }
say() { echo "bench: $*" >&2; }

machine() {
  figure "$1.command" "$2" text
  figure "$1.date" "$(date -u +%Y-%m-%d)" text
  figure "$1.commit" "$(git -C "$TOP" describe --always --dirty 2>/dev/null || echo unknown)" text
  figure "$1.processor" "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" text
  figure "$1.processors" "$(nproc)" processors
  figure "$1.system" "$(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r), $(uname -m)" text
  figure "$1.load_before" "$(cut -d' ' -f1 /proc/loadavg)" processes
}

machine_after() { figure "$1.load_after" "$(cut -d' ' -f1 /proc/loadavg)" processes; }

need() {
  local command missing=()
  for command; do
    command -v "$command" >/dev/null || missing+=("$command")
  done
  ((${#missing[@]} == 0)) || { say "missing: ${missing[*]} (make bench-deps installs them)"; exit 1; }
}
