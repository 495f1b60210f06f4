#!/usr/bin/env bash
# Prepares one host of a Cloud TPU slice: the environment beside this checkout, and a copy of the data in its memory.
# Needs: Ubuntu with Python's pip and gcloud, as in Google's TPU images. launch/tpu_pod.sh runs it on every host:
#
#   softaug/launch/tpu_host.sh [gs://BUCKET/DATA]
set -euo pipefail

cd "$(dirname "$0")/.."
python3 -m pip install --quiet --user uv # the images have Python 3.10
"$HOME/.local/bin/uv" venv --quiet --allow-existing --python=3.12 .venv
"$HOME/.local/bin/uv" pip install --quiet --python=.venv/bin/python -e '.[tpu,data,gcs]'

# What image files are read from must be fast to read at random: half of a TPU host's memory may be files in /dev/shm.
if (($#)); then
  mkdir -p /dev/shm/data
  gcloud storage rsync --recursive "$1" /dev/shm/data
fi
