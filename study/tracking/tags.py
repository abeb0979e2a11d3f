"""Names every tag and metric that one module writes and another reads, and makes safe keys for arms.

Tags that are repeated on each trial (data, code, study) let you filter trials in the MLflow UI without their study.
"""

import hashlib
import json
import re

# --- tags: what a run is ------------------------------------------------------------------------------

KIND = "kind"  # one of the next three
STUDY_KIND, ARM_KIND, TRIAL_KIND = "study", "arm", "trial"
TASK = "task"  # an ablation's task; or "search", "promote", "explore", or the next one
TRAIN = "train"
STUDY = "study"  # the study's name, which its queue shares
STUDY_RUN = "study_run"  # the ID of the study's run, on each of its arms and trials
ARM = "arm"
SEED = "seed"
SLOT = "slot"  # the place in the queue that a trial fills
OPTUNA_STUDY, OPTUNA_TRIAL = "optuna_study", "optuna_trial"
CONFIG = "study_config"  # of a training by hand, as JSON: `mlflow run` has written params of its own before
FINGERPRINT = "fingerprint"  # of everything that decides a trial's result
REUSED_FROM = "reused_from"  # the ID of the run whose result a trial carries over
REPRODUCED = "reproduced"  # whether training it again gave the same bits, and the ID of the run that did

# --- tags: how it ended -------------------------------------------------------------------------------

STATE = "state"  # of a trial: COMPLETE, PRUNED or DIVERGED
COMPLETE, PRUNED, DIVERGED = "complete", "pruned", "diverged"
MODEL_SHA256 = "model_sha256"  # of its ``.keras`` file, as it was written
COMPILER = "compiler"  # graph, if the epoch of a trial is a plain TensorFlow graph in place of a program of XLA
REASON = "reason"  # why a run failed or was killed
VERDICT = "verdict"  # of an arm; a study has all of them in one line, and each one under the next prefix
VERDICT_PREFIX = "verdict."
BEST_PREFIX = "best."  # the best settings of a search, by field
CURVES_OF = "curves_of"  # a hash of the trials that an arm's curves are the mean of

# --- tags: data and code ------------------------------------------------------------------------------

DATASET, DATASET_TITLE, DATASET_SHA256 = "dataset", "dataset_title", "dataset_sha256"
DATASET_SUBSTITUTE_FOR = "dataset_substitute_for"
DATASET_FORM = "dataset_form"  # what can be drawn or typed for it: one of the next three
HANDWRITING, PICTURES, FEATURES = "handwriting", "pixels", "features"
TRAIN_ROWS, VALIDATION_ROWS, TEST_ROWS = "train_rows", "validation_rows", "test_rows"
TEST_SPLIT = "test_split"  # how the test rows were chosen, where the data have none of their own
VALIDATION_SPLIT = "validation_split"  # how the validation rows were chosen: "last rows", "by class, seed 1", or a fold
UNTRAINED_CLASSES = "untrained_classes"  # that validation or test rows have and no training row has
GIT_COMMIT, GIT_DIRTY = "git_commit", "git_dirty"
TRAINING_CODE, LIBRARIES = "training_code", "libraries"
PROCESSOR, PROCESSOR_FEATURES = "processor", "processor_features"  # of the machine that trained it
NETWORKS = "networks"  # the parameters of networks of one's own, as `networks.described` writes them
HOST = "host"  # with machine, pid and process_started: see base/processes.py

# --- tags: of a few runs only -------------------------------------------------------------------------

CONFIRMED_BY = "confirmed_by"  # on a search: the ID of the run that compared its best configuration with its baseline
NOTHING = "nothing"  # there, if the baseline is the best itself
PHASES = "phases"  # on a search: how many spaces it has had, if more than one; its trials have the number of theirs:
PHASE = "phase"
EXCLUDED = "excluded"  # how many suggestions of a search broke its limit, and so were not trained
CONTINUES = "continues"  # the search's run ID, on the run of a program that resumed the search
RACE, RACE_SEED = "race", "race_seed"  # a race's fingerprint at any number of seeds, and the first of its seeds
PROMOTION, CHAMPION_AFTER = "promotion", "champion_after"  # a promotion's fingerprint, and the champion after it
MODEL_VERSION = "model_version"
TEST_OPENED = "test_opened"  # on a promotion and its model's version: how often the test set has been opened with this

# --- tags: of a registered version, beside those of its data ------------------------------------------

VERSION_CONFIG = "config."  # begins the name of each of its hyperparameters
VERSION_DATA_SHA256 = "data_sha256"
VERSION_TRIAL = "trial"  # the ID of the run that trained it
VERSION_FOLD = "fold"  # the fold that it was validated on, if the race had folds

# --- metrics ------------------------------------------------------------------------------------------

MODEL_VAL_ACCURACY = "model_val_accuracy"  # of the weights that a trial kept; verdicts rest on it
MODEL_VAL_CROSS_ENTROPY, MODEL_VAL_CROSS_ENTROPY_SE = "model_val_cross_entropy", "model_val_cross_entropy_se"
MODEL_GENERALIZATION_GAP = "model_generalization_gap"
OF_TEST = "test_"  # begins the name of every metric and tag that comes from the test rows, and of nothing that selects
TEST_ACCURACY = "test_accuracy"
TRAIN_SECONDS, COMPILE_SECONDS, EPOCHS_TRAINED = "train_seconds", "compile_seconds", "epochs_trained"
LOW, HIGH = "_low", "_high"  # after a metric's name: the ends of its interval
DIFFERENCE = "difference"  # in points; a study has one for each arm, under ``difference/``
BEST_CHANCE = "best_chance"  # the probability that a search's best configuration is its best
TRIALS_COMPLETE, TRIALS_PRUNED, TRIALS_FAILED = "trials_complete", "trials_pruned", "trials_failed"

RESULTS = (VERDICT, BEST_PREFIX)  # a study's results, which its trials don't repeat
# Tags about the study's own run alone, which they don't repeat either.
NOT_REPEATED = (KIND, REASON, CONFIRMED_BY, EXCLUDED, PHASES, REPRODUCED)


def is_result(tag: str) -> bool:
    """Return whether a tag of a study's run holds a result or is about that run alone, so that no trial repeats it."""
    return tag.startswith(RESULTS) or tag in NOT_REPEATED


# --- keys ---------------------------------------------------------------------------------------------

MOST_CHARACTERS = 100  # of a key for one name; MLflow allows 250, and a pair with its prefix has to fit
VERSUS = " vs "
_HASHED = re.compile(r"-[0-9a-f]{8}$")


def key(*names: str) -> str:
    """Return the end of a tag's or metric's key for an arm, or for a pair of arms (arm, against).

    MLflow allows only letters, digits and ``_-. :/``, and its UI splits at ``/``. ``batch_size=8`` becomes
    ``batch_size:8`` and ``1e-3, dropout 0.2`` becomes ``1e-3: dropout 0.2``; a name that can't be read back from its
    key gets a hash as well. So no two names have the same key.
    """
    plain = [_encoded(name) for name in names]
    if all(_decoded(text) == name and _is_safe(text) for text, name in zip(plain, names, strict=True)):
        return VERSUS.join(plain)
    mark = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]
    readable = VERSUS.join(re.sub(r"[^\w.\- :]+", "_", text).strip()[:MOST_CHARACTERS] for text in plain)
    return f"{readable}-{mark}"


def _encoded(name: str) -> str:
    return re.sub(r"(?<=\d),(?=\d)", "_", name.replace("/", "::").replace(", ", ": ").replace("=", ":"))


def _decoded(text: str) -> str:
    text = re.sub(r"(?<! ): ", ", ", text.replace("::", "/")).replace(":", "=")
    return re.sub(r"(?<=\d)_(?=\d)", ",", text)


def _is_safe(text: str) -> bool:
    allowed = re.fullmatch(r"[\w\-][\w.\- :]*", text) and text == text.strip()
    return bool(allowed) and len(text) <= MOST_CHARACTERS and VERSUS not in text and not _HASHED.search(text)
