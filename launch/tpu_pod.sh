#!/usr/bin/env bash
# Makes a Cloud TPU slice, installs this checkout on all its hosts, trains there, goes on after a preemption, deletes it.
# Needs: gcloud, logged in, with a project and quota for the slice; a bucket that the slice's service account may write to.
# Any bash from 3.2 on does, which macOS has.
#
#   launch/tpu_pod.sh all --name=sa --zone=us-central2-b --type=v4-8 -- \
#       --config=configs/cifar100_sa.py --config.data.dir=gs://MY_BUCKET/data --workdir=gs://MY_BUCKET/sa
#
# Steps: create, install, run, delete; all of them ("all"), if the training comes to its end; or resume, which runs until
# it does: it makes the slice if there is none or it was preempted, and installs. What follows -- goes to main.py on every host.
#   --version=V   runtime image: tpu-ubuntu2204-base by default, v2-alpha-tpuv5-lite for v5e, v2-alpha-tpuv6e for v6e
#   --spot        a cheaper slice that can be preempted
#   --data=gs://BUCKET/DIR  copied into the memory of every host, as /dev/shm/data: for sets of image files
#   --tries=N     of resume, whatever fails; 50
#   --dry_run     prints the commands and runs none
set -euo pipefail

fail() {
  echo "error: $*" >&2
  exit 2
}

# The words, each quoted for a shell if it must be.
quoted() {
  local word line='' quote="'" escaped="'\\''"
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=@,%+-]+$ ]] || word=\'${word//$quote/$escaped}\'
    line+=" $word"
  done
  printf '%s\n' "${line# }"
}

# Runs a command, or prints it.
execute() {
  if [[ -n $dry_run ]]; then quoted "$@"; else "$@"; fi
}

# Runs a line in the shell of every host; fails if it fails on one.
everywhere() {
  execute gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="$1"
}

# Prints the slice's state, or NOT_FOUND. That gcloud fails is another thing, and no reason yet to give up.
state() {
  local failures=0
  until gcloud compute tpus queued-resources describe "$name" --zone="$zone" --format='value(state.state)' 2>"$errors"; do
    if grep -q NOT_FOUND "$errors"; then
      echo NOT_FOUND
      return
    fi
    cat "$errors" >&2
    ((++failures < 5)) || fail "the state of $name can't be told: gcloud failed $failures times in a row."
    sleep 30
  done
}

# Waits until the slice is there.
await() {
  local now='' before
  until [[ $now == ACTIVE ]]; do
    [[ -z $now ]] || sleep 30
    before=$now
    now=$(state) || return
    [[ $now == "$before" ]] || echo "$name: $now" >&2
    case $now in
    FAILED | SUSPENDED | NOT_FOUND) fail "the slice $name is $now. Delete it, and try another zone or later." ;;
    esac
  done
}

create() {
  local options=(--node-id="$name" --zone="$zone" --accelerator-type="$type" --runtime-version="$version")
  [[ -z $spot ]] || options+=(--spot)
  execute gcloud compute tpus queued-resources create "$name" "${options[@]}" || return
  [[ -n $dry_run ]] || await
}

install() {
  execute git archive --format=tar.gz --output=softaug.tar.gz HEAD &&
    execute gcloud compute tpus tpu-vm scp softaug.tar.gz "$name:" --zone="$zone" --worker=all &&
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

# Makes the slice, if it isn't there. Steps are joined by && where they are tried again: set -e doesn't hold there.
provide() {
  local now=SUSPENDED
  [[ -n $dry_run ]] || now=$(state) || return
  case $now in
  NOT_FOUND) create ;;
  FAILED | SUSPENDED) delete && create ;;
  *) await ;; # also one that is still being made: it would lose its place in the queue
  esac
}

resume() {
  local try
  for ((try = 1; try <= tries; try++)); do
    if (provide && install && run && finished); then return 0; fi # in a shell of its own, which fail ends
    echo "not finished after try $try of $tries" >&2
    sleep 30
  done
  fail "$workdir is not finished after $tries tries. If $name still runs, it costs: go on with resume, or delete it."
}

step=${1:-}
case $step in
all | create | install | run | resume | delete) shift ;;
*) fail "say what to do first: all, create, install, run, resume or delete." ;;
esac
name='' zone='' type='' version=tpu-ubuntu2204-base spot='' data='' dry_run='' tries=50
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
[[ -z $data || $data == gs://?* ]] || fail "--data=$data must be in a bucket, as in --data=gs://BUCKET/imagenet."
[[ $tries =~ ^[1-9][0-9]*$ ]] || fail "--tries=$tries must be a whole number, at least 1."
[[ -n $name ]] || fail "name the slice, as in --name=sa."
[[ -n $zone ]] || fail "name its zone, as in --zone=us-central2-b."
case $step in all | create | resume) [[ -n $type ]] || fail "name its type, as in --type=v4-8." ;; esac
case $step in
run) [[ " $*" == *" --workdir="?* ]] || fail "give main.py's options after --, with a --workdir." ;;
all | resume)
  workdir=$("$(dirname "$0")/workdir_of.sh" "$@")
  workdir=$(sed -E 's|([^:/])/+|\1/|g; s|/$||' <<<"$workdir") # as Python takes it: in a bucket a//b and a/b/ are others
  [[ $workdir == gs://?* ]] || fail "--workdir=$workdir would be deleted with the slice. Use a bucket, as in --workdir=gs://MY_BUCKET/sa."
  ;;
esac

cd "$(dirname "$0")/.."
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
if [[ $step == all ]]; then
  create
  install
  run
  finished || fail "the training stopped before its end, and $name still runs. Go on with resume, or delete it."
  delete
else
  "$step"
fi
