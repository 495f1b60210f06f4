#!/usr/bin/env bash
# Trains with N processes on this machine's CPU, to try out what runs on a pod. Needs only the project's environment.
#
#   launch/local.sh 2 --config=configs/digits_sa.py [more options of main.py]
#
# All print here; process 0 alone says how it goes. Ctrl-C stops them at one step and saves. The exit code is the
# first that is not 0. PYTHON names another Python.
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

pids=()
for ((i = 0; i < count; i++)); do
  JAX_PLATFORMS=cpu "$python" main.py \
    --coordinator="localhost:$port" --num_processes="$count" --process_id="$i" "$@" &
  pids+=("$!")
done
# A terminal sends Ctrl-C to all of them; what is sent to this script alone is passed on to one, which tells the others.
trap 'kill -TERM "${pids[0]}" 2>/dev/null' TERM
trap : INT

code=0
for pid in "${pids[@]}"; do
  while true; do
    status=0
    wait "$pid" || status=$?
    kill -0 "$pid" 2>/dev/null || break # a signal ends wait, not the process
  done
  ((code != 0)) || code=$status
done
exit "$code"
