#!/usr/bin/env bash
#     TPU=my-pod ZONE=us-west4-a launch/tpu_pod.sh --config=configs/sft.py:llama2_7b --workdir=/shared/7b
#
# Runs a study on all workers of a Cloud TPU pod, from your own machine: copies the last commit
# there, installs it, and starts one process a worker. The workdir lies on a file system that every
# worker sees at the same path (Filestore, NFS). The same command goes on after a preemption.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${TPU:?must be the name of the pod}" "${ZONE:?must be the zone of the pod}"
on_all_workers() {
  gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="$1"
}
archive=$(mktemp)
trap 'rm -f "$archive"' EXIT
git archive --format=tar.gz --output="$archive" HEAD
gcloud compute tpus tpu-vm scp "$archive" "$TPU:qdcjax.tar.gz" --zone="$ZONE" --worker=all
# uv brings a Python of its own where the workers' is too old.
on_all_workers "set -e
  mkdir -p qdcjax && tar -xzf qdcjax.tar.gz -C qdcjax && cd qdcjax
  python3 -m pip install --quiet --user uv
  python3 -m uv venv --quiet --allow-existing --python '>=3.11' .venv
  python3 -m uv pip install --quiet --python .venv -e '.[tpu]'"
on_all_workers "cd qdcjax && .venv/bin/python -m qdcjax.main $(printf '%q ' "$@") --distributed=auto"
