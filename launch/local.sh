#!/usr/bin/env bash
# Trains with N processes on this machine's CPU, to try out what runs on a pod. Needs only the project's environment.
#
#   launch/local.sh 2 --config=configs/digits_sa.py [more options of main.py]
#
# All print here; process 0 alone says how it goes. Ctrl-C stops them at one step and saves; again, it ends them at once.
# The exit code is the first that is not 0. PYTHON names another Python.
set -euo pipefail

if [[ ! ${1:-} =~ ^[1-9][0-9]*$ ]]; then
  echo "error: say how many processes first, as in launch/local.sh 2 --config=configs/digits_sa.py" >&2
  exit 2
fi
count=$1
shift
cd "$(dirname "$0")/.."
python=${PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python)}
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("localhost", 0)); print(s.getsockname()[1])')

early=''
trap 'early=yes' HUP INT TERM # passed on as soon as all are started
pids=()
set -m # each in a process group of its own, or those that listen to Ctrl-C would have it twice: the terminal's and ours
for ((i = 0; i < count; i++)); do
  JAX_PLATFORMS=cpu "$python" main.py \
    --coordinator="localhost:$port" --num_processes="$count" --process_id="$i" "$@" &
  pids+=("$!")
done
set +m
pass_on() {
  heard=yes
  kill -TERM "${pids[@]}" 2>/dev/null || true # those that have ended can't be told
}
trap pass_on HUP INT TERM
[[ -z $early ]] || pass_on

code=0
for pid in "${pids[@]}"; do
  while true; do
    heard='' status=0
    wait "$pid" || status=$?
    [[ -n $heard ]] || break # a signal ends wait, not the process
  done
  ((code != 0)) || code=$status
done
exit "$code"
