"""Measures how often verdicts claim an effect between arms that are the same, on real trainings.

    python -m benchmarks.null_trainings [DATA [SEEDS [STUDIES]]]      (digits, 300 and 200: two minutes on one core)

One configuration is trained with many seeds. A study draws some of them at random, without putting any back, and calls
half of them an arm and half the baseline: nothing differs but the seeds. It looks after every pair, from the first look
to the cap, and claims an effect if any look does; what is settled is not looked at again. Studies share trainings, so
that they are not independent: ± is the standard error as if they were, and too small.
"""

import sys

import numpy as np

from study.analysis import confidence_sequence as sequence
from study.analysis.confidence_sequence import CAP, FIRST_LOOK, Outcome
from study.base import startup

CONFIG = {"hidden": "16", "epochs": 3}
MARGIN = 0.2  # points


def main(data: str = "digits", seeds: str = "300", studies: str = "200") -> None:
    """Train, draw the studies, and print what they claim, for one comparison and for three that share a baseline."""
    accuracies = trained(data, int(seeds))
    print(f"{data}, {CONFIG}: {len(accuracies)} trainings, validation accuracy {accuracies.mean():.2f} %, ", end="")
    print(f"sd {accuracies.std(ddof=1):.2f} points, skewness {_skewness(accuracies):.2f}; {studies} studies each")
    for comparisons in (1, 3):
        draw = np.random.default_rng([4, comparisons])
        cap = min(CAP, len(accuracies) // (comparisons + 1))
        claims, missed = [], []
        for _ in range(int(studies)):
            arms = draw.permutation(accuracies)[: cap * (comparisons + 1)].reshape(comparisons + 1, cap)
            claimed, covered = study(arms[1:] - arms[0], comparisons)
            claims.append(claimed)
            missed.append(not covered)
        print(
            f"{comparisons} comparisons to {cap} seeds: claims {_share(claims)}, coverage {_share(~np.array(missed))}"
        )


def trained(data: str, seeds: int) -> np.ndarray:
    """Return the validation accuracy of each seed's training (seeds,), in percent."""
    startup.use_tensorflow()
    from study.data.dataset import load_dataset
    from study.training import loop
    from study.training.config import TrialConfig

    dataset = load_dataset(data)
    configs = (TrialConfig.parse({**CONFIG, "seed": seed}) for seed in range(1, seeds + 1))
    return np.array([100 * loop.train(config, dataset).epochs[-1].val_accuracy for config in configs])


def study(differences: np.ndarray, comparisons: int) -> tuple[bool, bool]:
    """Return whether a study claims an effect, and whether all its intervals contain zero: (comparisons, seeds)."""
    looks = range(FIRST_LOOK, differences.shape[1] + 1)
    claimed, covered = False, True
    for each in differences:
        outcomes = [sequence.outcome(each[:n], MARGIN, comparisons) for n in looks]
        settled = next((one for one in outcomes if one is not Outcome.OPEN), Outcome.OPEN)
        claimed |= settled is Outcome.EFFECT
        covered &= Outcome.EFFECT not in outcomes
    return claimed, covered


def _share(hits: list[bool] | np.ndarray) -> str:
    share = float(np.mean(hits))
    return f"{100 * share:.1f} ± {100 * np.sqrt(share * (1 - share) / len(hits)):.1f} %"


def _skewness(values: np.ndarray) -> float:
    return float(np.mean((values - values.mean()) ** 3) / values.std() ** 3)


if __name__ == "__main__":
    startup.hush()
    main(*sys.argv[1:])
