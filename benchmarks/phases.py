"""Prints where the time of finished studies went: starting, compiling, training, recording, waiting, reporting.

    python -m benchmarks.phases RUN [RUN …]

RUN is a study's run in the store that MLFLOW_TRACKING_URI names. It all comes from the runs
themselves: see `study.analysis.phases`. *whole / training* is the wall time over what each core trained.
"""

import sys
from dataclasses import asdict

from study.base.startup import hush


def main(*run_ids: str) -> None:
    """Print a table with a line for each study."""
    hush()
    from study.analysis.phases import NAMES, phases
    from study.tracking import records
    from study.tracking.store import connect

    client = connect()
    print(f"{'study':<28}{'trials':>7}{'workers':>8}" + "".join(f"{name:>11}" for name in NAMES.values())
          + f"{'whole (s)':>11}{'whole / training':>18}")  # fmt: skip
    for run_id in run_ids:
        study = records.read_run(client, run_id)
        trials = records.read_trials(client, study.run_id)
        spent = phases(study, trials)
        if spent is None:
            sys.exit(f"{study.name}: no trial has ended")
        seconds = "".join(f"{asdict(spent)[part]:>11.1f}" for part in NAMES)
        ratio = f"{spent.total / spent.train:.2f}" if spent.train else "–"
        print(f"{study.name:<28}{len(trials):>7}{spent.workers:>8}{seconds}{spent.total:>11.1f}{ratio:>18}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
