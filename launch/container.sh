#!/usr/bin/env bash
# Runs main.py as the only program of a container, and ends with code 75 if it stopped before the training was finished:
# a preempted run saves and ends with 0, which Kubernetes would take for the end of the job.
# Needs: the image to have the checkout and its environment. In a container's command:
#
#   ["launch/container.sh", "--config=configs/cifar100_sa.py", "--workdir=gs://BUCKET/sa"]
set -euo pipefail

cd "$(dirname "$0")/.."
workdir=$(launch/workdir_of.sh "$@")
"${PYTHON:-python}" main.py "$@" &
child=$!
trap 'kill -TERM "$child"' TERM INT # the first process of a container passes nothing on by itself
while true; do
  code=0
  wait "$child" || code=$?
  kill -0 "$child" 2>/dev/null || break # a signal ends wait, not the program
done
if ((code == 0)) && ! launch/finished.sh "$workdir"; then
  code=75
fi
exit "$code"
