"""What an ablation may be asked, and its usual numbers: options need them before anything heavy is imported."""

from typing import Literal, get_args

Vary = Literal["seed", "split"]  # what differs between the trials of an arm: the seed alone, or the validation rows too
VARY: tuple[Vary, ...] = get_args(Vary)
COMPARE = ("baseline", "pairs")
DECIDE = ("val_accuracy", "val_cross_entropy")  # the measures that verdicts may rest on
MARGIN = 0.2  # points of accuracy
BECAUSE = "Less than 0.2 points, ten images in 5,000, would hardly change what anybody chooses."
BECAUSE_SAID = "The task's file says so."  # where it has a margin of its own and no reason
MARGIN_NATS = 0.01  # of cross-entropy
BECAUSE_NATS = "A hundredth of a nat is a tenth of the cross-entropy that a small network has on MNIST."
MOST_SEEDS = 1_000
CAP = 40  # seeds, beyond which a question is left undecided unless the person says otherwise
MOST_FRESH_SEEDS = 20  # of each arm of a race, unless the person says how many, and of a search's comparison
MOST_ARMS = 1_000  # each is a run with a row in every table
MOST_TRIALS = 100_000
RECORDED = "recorded"  # network=recorded: the file that a study's run has kept
