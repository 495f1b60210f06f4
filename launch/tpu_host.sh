#!/usr/bin/env bash
# Prepares one host of a Cloud TPU slice: the environment beside this checkout, and a bucket as /mnt/runs.
# Needs: Ubuntu with Python's pip and the right to sudo, as in Google's TPU images. launch/tpu_pod.sh runs it on every host:
#
#   softaug/launch/tpu_host.sh [BUCKET]
set -euo pipefail

cd "$(dirname "$0")/.."
python3 -m pip install --quiet --user uv # the images have Python 3.10
"$HOME/.local/bin/uv" venv --quiet --allow-existing --python=3.12 .venv
"$HOME/.local/bin/uv" pip install --quiet --python=.venv/bin/python -e '.[tpu,data]'

if (($#)) && ! mountpoint --quiet /mnt/runs; then
  if ! command -v gcsfuse >/dev/null; then
    key=/usr/share/keyrings/cloud.google.asc
    curl -fsS https://packages.cloud.google.com/apt/doc/apt-key.gpg | sudo tee "$key" >/dev/null
    echo "deb [signed-by=$key] https://packages.cloud.google.com/apt gcsfuse-$(lsb_release -cs) main" |
      sudo tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null
    sudo apt-get -qq update
    sudo apt-get -qq install -y gcsfuse
  fi
  sudo mkdir -p /mnt/runs
  sudo chown "$USER" /mnt/runs
  # A checkpoint is finished by renaming its folder, and what one host writes the others must see.
  gcsfuse --implicit-dirs --rename-dir-limit=100000 --metadata-cache-ttl-secs=0 "$1" /mnt/runs
fi
