#!/usr/bin/env bash
# Prints the workdir that options of main.py name, for a script that starts main.py again until launch/finished.sh says
# that the training is finished. Refuses evaluations and tests of finished runs, of which it never says so. Needs nothing.
#
#   launch/workdir_of.sh --config=configs/cifar100_sa.py --workdir=runs/sa
set -euo pipefail

never='^(--?mode=eval|--?config\.runs=.*|--?config=([^:]*/)?(occlusion|calibration)\.py(:.*)?)$'
workdir='' before=''
for option in "$@"; do
  if [[ $option =~ $never || $before=$option =~ $never ]]; then
    echo "error: $option is no training: whether it is finished can't be told, and it would be started again for ever." \
      "Start it by itself: python main.py ..., on Slurm srun python main.py ..., on a TPU slice launch/tpu_pod.sh run." >&2
    exit 2
  fi
  [[ $option != --workdir=* ]] || workdir=${option#--workdir=}
  before=$option
done
if [[ -z $workdir ]]; then
  echo "error: name a workdir that all processes share, as in --workdir=runs/sa or --workdir=gs://BUCKET/sa:" \
    "what is started again goes on in it." >&2
  exit 2
fi
echo "$workdir"
