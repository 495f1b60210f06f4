#!/usr/bin/env bash
# Makes a Cloud TPU slice, installs this checkout on all its hosts, trains there, goes on after a preemption, deletes it.
# Needs: gcloud, logged in, with a project and quota for the slice; a bucket that the slice's service account may write to.
#
#   launch/tpu_pod.sh all --name=sa --zone=us-central2-b --type=v4-8 -- \
#       --config=configs/cifar100_sa.py --config.data.dir=gs://MY_BUCKET/data --workdir=gs://MY_BUCKET/sa
#
# Steps: create, install, run, delete; all of them ("all"), if the training comes to its end; or resume, which runs until
# it does and makes the slice anew when it was preempted. What follows -- goes to main.py on every host.
#   --version=V   runtime image: tpu-ubuntu2204-base by default, v2-alpha-tpuv5-lite for v5e, v2-alpha-tpuv6e for v6e
#   --spot        a cheaper slice that can be preempted
#   --data=gs://BUCKET/DIR  copied into the memory of every host, as /dev/shm/data: for sets of image files
#   --tries=N     of resume; 50
#   --dry_run     prints the commands and runs none
set -euo pipefail

fail() {
  echo "error: $*" >&2
  exit 2
}

# The words, each quoted for a shell if it must be.
quoted() {
  local word line=()
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./:=@,%+-]+$ ]]; then line+=("$word"); else line+=("${word@Q}"); fi
  done
  echo "${line[*]}"
}

# Runs a command, or prints it.
execute() {
  if [[ -n $dry_run ]]; then quoted "$@"; else "$@"; fi
}

# Runs a line in the shell of every host; fails if it fails on one.
everywhere() {
  execute gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="$1"
}

state() {
  gcloud compute tpus queued-resources describe "$name" --zone="$zone" --format='value(state.state)' 2>/dev/null || true
}

create() {
  local options=(--node-id="$name" --zone="$zone" --accelerator-type="$type" --runtime-version="$version")
  [[ -z $spot ]] || options+=(--spot)
  execute gcloud compute tpus queued-resources create "$name" "${options[@]}"
  [[ -z $dry_run ]] || return 0
  until [[ $(state) == ACTIVE ]]; do
    case $(state) in
    FAILED | SUSPENDED) fail "the slice $name is $(state). Delete it, and try another zone or later." ;;
    esac
    sleep 30
  done
}

install() {
  execute git archive --format=tar.gz --output=softaug.tar.gz HEAD
  execute gcloud compute tpus tpu-vm scp softaug.tar.gz "$name:" --zone="$zone" --worker=all
  everywhere "mkdir -p softaug && tar -xzf softaug.tar.gz -C softaug && softaug/launch/tpu_host.sh $(quoted ${data:+"$data"})"
}

# JAX finds the other hosts by the slice's metadata.
run() {
  everywhere "cd softaug && .venv/bin/python main.py $(quoted "${train[@]}")"
}

# A preempted run ends well, too, once it has saved.
finished() {
  execute gcloud storage ls "$workdir/summary.json"
}

delete() {
  execute gcloud compute tpus queued-resources delete "$name" --zone="$zone" --force --quiet
}

resume() {
  local try
  for ((try = 1; try <= tries; try++)); do
    if [[ -n $dry_run || $(state) != ACTIVE ]]; then
      if [[ -n $dry_run || -n $(state) ]]; then delete; fi
      create
      install
    fi
    if run && finished; then return 0; fi
    echo "not finished after try $try of $tries" >&2
    sleep 30
  done
  fail "$workdir is not finished after $tries tries."
}

step=${1:-}
case $step in
all | create | install | run | resume | delete) shift ;;
*) fail "say what to do first: all, create, install, run, resume or delete." ;;
esac
name='' zone='' type='' version=tpu-ubuntu2204-base spot='' data='' dry_run='' tries=50 workdir=''
while (($#)); do
  case $1 in
  --name=* | --zone=* | --type=* | --version=* | --data=* | --tries=*)
    option=${1%%=*}
    printf -v "${option#--}" %s "${1#*=}"
    ;;
  --spot) spot=yes ;;
  --dry_run) dry_run=yes ;;
  --)
    shift
    break
    ;;
  *) fail "$1 is not understood. Options of main.py follow --." ;;
  esac
  shift
done
train=("$@")
for word in "$@"; do
  [[ $word != --workdir=* ]] || workdir=${word#--workdir=}
done
[[ -z $data || $data == gs://?* ]] || fail "--data=$data must be in a bucket, as in --data=gs://BUCKET/imagenet."
[[ $tries =~ ^[1-9][0-9]*$ ]] || fail "--tries=$tries must be a whole number, at least 1."
[[ -n $name ]] || fail "name the slice, as in --name=sa."
[[ -n $zone ]] || fail "name its zone, as in --zone=us-central2-b."
case $step in all | create | resume) [[ -n $type ]] || fail "name its type, as in --type=v4-8." ;; esac
case $step in all | run | resume) [[ -n $workdir ]] || fail "give main.py's options after --, with a --workdir." ;; esac
case $step in all | resume)
  [[ $workdir == gs://?* ]] || fail "--workdir=$workdir would be deleted with the slice. Use a bucket, as in --workdir=gs://MY_BUCKET/sa."
  ;;
esac

cd "$(dirname "$0")/.."
if [[ $step == all ]]; then
  create
  install
  run
  finished || fail "the training stopped before its end, and $name still runs. Go on with resume, or delete it."
  delete
else
  "$step"
fi
