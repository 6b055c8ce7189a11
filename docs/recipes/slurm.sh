#!/bin/bash
# Score the images of a folder by a Slurm array: sbatch slurm.sh NIGHT RESULTS
# Each task has a folder of results and a journal of its own; queued again, it goes on where it stopped.
#SBATCH --job-name=rbinfer
#SBATCH --array=0-99
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=02:00:00
#SBATCH --requeue
set -euo pipefail
night=$1
results=$2
mapfile -d '' -t images < <(find "$night" -name '*.fits' -print0 | sort -z)
share=()
for ((k = SLURM_ARRAY_TASK_ID; k < ${#images[@]}; k += SLURM_ARRAY_TASK_COUNT)); do
    share+=("${images[k]}")
done
if ((${#share[@]} == 0)); then
    exit 0
fi
mkdir -p "$results"
exec rbinfer batch "${share[@]}" -o "$results/$SLURM_ARRAY_TASK_ID" \
    --workers "${SLURM_CPUS_PER_TASK:-1}" -q
