"""Times the main job as a whole: the batch-size ablation, by `mlflow run` in an existing environment.

    python -m benchmarks.ablation [DATA] [RUNS]

Each run has a new MLflow store: its time includes the start of every process and the creation of the store's tables.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
GOAL_SECONDS = 75


def main(data: str = "mnist", runs: str = "3") -> None:
    """Print the wall time of every run, and their median."""
    spec = data if data in ("auto", "mnist", "digits") else str(Path(data).resolve())
    seconds = []
    for number in range(1, int(runs) + 1):
        with tempfile.TemporaryDirectory() as folder:
            clock = time.perf_counter()
            _run(spec, folder)
            seconds.append(time.perf_counter() - clock)
        print(f"run {number}: {seconds[-1]:.1f} s", flush=True)
    spread = f"{min(seconds):.1f}–{max(seconds):.1f}"
    print(f"median of n = {runs}: {median(seconds):.1f} s ({spread}); goal {GOAL_SECONDS} s")


def _run(data: str, folder: str) -> None:
    words = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", "ablation", "--env-manager", "local"]
    given = ["-P", "task=batch_size", "-P", f"data={data}", "-P", "workers=2"]
    environment = os.environ | {
        "PATH": f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }
    done = subprocess.run(words + given, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
