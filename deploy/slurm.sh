#!/bin/bash
#SBATCH --job-name=keras-study
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00

# A search on four nodes, one worker process a core. In a clone on a disk that the nodes share, with its environment in
# .venv:
#   sbatch deploy/slurm.sh my-search 200
# When the time is up, submit it again: the search resumes. The password of PostgreSQL is in ~/.pgpass.
set -euo pipefail

study=${1:?the name of the search} trials=${2:?the total number of trials}
storage=postgresql+psycopg://study@db.example:5432/study
export MLFLOW_TRACKING_URI=http://mlflow.example:5000

cd "$SLURM_SUBMIT_DIR"
source .venv/bin/activate

python -m entrypoints.search --study "$study" --trials "$trials" --storage "$storage" --workers 1 &
search=$!

# A worker fails as long as there is no search to join, and ends with status 0 when nothing is left to do.
while kill -0 "$search" 2>/dev/null; do
    srun --cpus-per-task="$SLURM_CPUS_PER_TASK" \
        python -m entrypoints.worker --study "$study" --storage "$storage" && break
    sleep 20
done
wait "$search"
