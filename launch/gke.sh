#!/usr/bin/env bash
#     CLUSTER=my-cluster ZONE=us-west4-a IMAGE=my-registry/qdcjax TYPE=v5litepod-256 STORAGE=shared launch/gke.sh llama --config=configs/sft.py:llama2_7b --workdir=/shared/llama
#
# Runs a study on GKE by xpk (`pip install xpk`), as a workload of the name that comes first: builds
# and pushes the image, then queues one process a host. STORAGE is a file system that
# `xpk storage attach` knows, mounted at the same path on every host; the workdir lies there. A
# workload that is preempted starts again and goes on. DRY_RUN=1 only prints what would be done.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${CLUSTER:?must be the name of the cluster}" "${ZONE:?must be its zone}" "${IMAGE:?must be the name of the image to push}"
: "${TYPE:?must be the kind of slice}" "${STORAGE:?must be a name of xpk storage list}"
dry=()
if [ -n "${DRY_RUN:-}" ]; then
  dry=(--dry-run --skip-validation)
else
  docker build --build-arg=EXTRA=tpu --tag="$IMAGE" --file=launch/Dockerfile .
  docker push "$IMAGE"
fi
workload=$1
shift
# xpk starts anew what ended with 143, the code of a run that saved on SIGTERM; a large model's save
# takes longer than the 30 seconds that Kubernetes leaves it.
xpk workload create --workload="$workload" --cluster="$CLUSTER" --zone="$ZONE" \
  --device-type="$TYPE" --docker-image="$IMAGE" --storage="$STORAGE" --max-restarts=100 \
  --termination-grace-period-seconds=300 "${dry[@]}" \
  --command="exec python -m qdcjax.main $(printf '%q ' "$@") --distributed=auto"
