#!/usr/bin/env bash
#     launch/processes.sh 2 --config=configs/sorm.py:smoke
#
# Runs one study in several processes on this machine: each has its own devices (with NVIDIA GPUs,
# process i has GPU i), and they train as one. SIGTERM and Ctrl-C reach all of them; when one
# fails, the others are ended.
set -euo pipefail
count=$1
shift
port=$(python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
pids=()
for ((i = 0; i < count; i++)); do
  if command -v nvidia-smi >/dev/null; then export JAX_LOCAL_DEVICE_IDS=$i; fi
  python -m qdcjax.main "$@" --distributed="127.0.0.1:$port,$i,$count" &
  pids+=($!)
done
trap 'kill -TERM "${pids[@]}" 2>/dev/null || true' TERM INT
running() { for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null && echo "$pid"; done || true; }
left=$count
code=0
while ((left > 0)); do
  status=0
  wait -n || status=$?
  now=$(running | wc -l)
  if ((now == left)); then continue; fi # a signal ended the wait, and no process has ended
  left=$now
  if ((status != 0 && code == 0)); then
    code=$status
    for _ in {1..20}; do if [ -n "$(running)" ]; then sleep 0.5; fi; done # for their last words
    kill -KILL "${pids[@]}" 2>/dev/null || true
  fi
done
exit "$code"
