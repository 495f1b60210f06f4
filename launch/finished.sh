#!/usr/bin/env bash
# Ends with code 0 if the training of a workdir is finished, else with 1: a run that was stopped and has saved ends well, too.
# Needs: for a workdir in a bucket the environment with softaug_jax[gcs]. PYTHON names another Python.
#
#   launch/finished.sh gs://BUCKET/sa
set -euo pipefail

if (($# != 1)); then
  echo "error: name a workdir, as in launch/finished.sh gs://BUCKET/sa." >&2
  exit 2
fi
workdir=$1
if [[ $workdir != *://* ]]; then
  [[ -e $workdir/summary.json ]]
  exit
fi
exec "${PYTHON:-python}" - "$workdir" <<'PROGRAM'
import sys

from softaug_jax.checks import UsageError
from softaug_jax.paths import path_of

try:
    sys.exit(0 if (path_of(sys.argv[1]) / "summary.json").exists() else 1)
except (UsageError, OSError) as error:
    print(f"error: whether {sys.argv[1]} is finished can't be told: {error}", file=sys.stderr)
    sys.exit(1)
PROGRAM
