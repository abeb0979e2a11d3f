"""Reads an ablation back from MLflow, with what follows from it: arms, differences, verdicts, effects, flips."""

import io
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from study.analysis import confidence_sequence as sequence
from study.analysis.prediction_flips import Ledger, ledger
from study.analysis.statistics import Estimate, estimate, interaction, main_effect
from study.analysis.tries import runs_that_count
from study.analysis.verdicts import Loss, Question, Verdict, judge
from study.base.errors import TrackingError, shown
from study.design.ablation import Ablation, parse_ablation
from study.design.limits import DECIDE
from study.tracking import records, store, stored, tags
from study.tracking.artifacts import ABLATION, CURVES, PREDICTIONS, TEST_SET
from study.tracking.records import RunRecord
from study.training.networks.described import know_described

THIS_ARM, BASELINE, OTHER_ARM = "this arm", "the baseline", "the other arm"  # the sides of a comparison


@dataclass(frozen=True)
class Measure:
    """A metric of a trial as tables show it: its name in words, its unit, and its scale.

    `rows` is the tag with the number of rows of which the metric is a share; None if it is no share.
    """

    metric: str
    title: str
    unit: str
    scale: float = 1
    rows: str | None = None

    @property
    def unit_of_differences(self) -> str:
        """The unit of a difference: that of two percentages is a point."""
        return "points" if self.unit == "%" else self.unit


ACCURACY = Measure(tags.MODEL_VAL_ACCURACY, "val accuracy", "%", 100, tags.VALIDATION_ROWS)
CROSS_ENTROPY = Measure(tags.MODEL_VAL_CROSS_ENTROPY, "val cross-entropy", "nats")
TEST_ACCURACY = Measure(tags.TEST_ACCURACY, "test accuracy", "%", 100, tags.TEST_ROWS)
DECIDING = dict(zip(DECIDE, (ACCURACY, CROSS_ENTROPY), strict=True))
MEASURES = (
    ACCURACY,
    CROSS_ENTROPY,
    TEST_ACCURACY,
    Measure(tags.MODEL_GENERALIZATION_GAP, "gap", "points", 100),
    Measure(tags.TRAIN_SECONDS, "time a trial", "s"),
)


@dataclass(frozen=True)
class Arm:
    """One arm's trials summed up: how many finished and failed, and each of MEASURES, None where none finished."""

    name: str
    trials: int
    failed: int
    values: Mapping[str, Estimate | None]


@dataclass(frozen=True)
class Effect:
    """What a factor of a grid changes, averaged over the others; or by how much two change each other's effect."""

    name: str
    interaction: bool
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class AblationResults:
    """An ablation as MLflow remembers it; `pairs` says whether all pairs of arms are compared.

    `decides` is the measure that verdicts and effects rest on, `beside` the one that is told beside it.

    Results are derived from the trials on first use, and kept.
    """

    client: store.MlflowClient
    record: RunRecord
    ablation: Ablation
    trials: tuple[RunRecord, ...]
    pairs: bool
    decides: Measure = ACCURACY

    @property
    def beside(self) -> Measure:
        """The other one of the two measures that verdicts can rest on."""
        return CROSS_ENTROPY if self.decides == ACCURACY else ACCURACY

    @cached_property
    def question(self) -> Question:
        """What is asked of every comparison, and of every effect of a grid: all of them are judged together."""
        return Question(
            margin=self.ablation.margin,
            comparisons=self.ablation.judged_together(self.pairs),
            unit=self.decides.unit_of_differences,
            more_is_better=self.decides == ACCURACY,
            step=self.step(self.decides),
        )

    def step(self, measure: Measure) -> float:
        """Return the smallest distance between two different values of a measure: of an accuracy that of one row."""
        rows = int(self.record.tags[measure.rows]) if measure.rows else 0
        return measure.scale / rows if rows else 0

    def finished(self, arm: str) -> dict[int, RunRecord]:
        """Return the arm's trials that were completed, by seed."""
        by_seed = {
            int(trial.tags[tags.SEED]): trial
            for trial in self.trials
            if trial.tags[tags.ARM] == arm
            and trial.tags.get(tags.STATE) == tags.COMPLETE
            and trial.status == "FINISHED"
        }
        return dict(sorted(by_seed.items()))

    def lost(self, arm: str) -> dict[int, str]:
        """Return the arm's seeds that were lost, each with how: ``diverged`` or ``failed``.

        A seed whose last try was killed, or is still running, is missing, not lost.
        """
        finished = self.finished(arm)
        last = {int(trial.tags[tags.SEED]): trial for trial in self.trials if trial.tags[tags.ARM] == arm}
        return {
            seed: tags.DIVERGED if trial.tags.get(tags.STATE) == tags.DIVERGED else "failed"
            for seed, trial in sorted(last.items())
            if seed not in finished and trial.status == "FAILED"
        }

    def losses(self, arm: str, against: str) -> list[Loss]:
        """Return what each side of a comparison lost of the seeds that the other side finished."""
        other_side = OTHER_ARM if self.pairs else BASELINE
        sides = ((THIS_ARM, arm, against), (other_side, against, arm))
        found = (self._loss(side, one, self.finished(other).keys()) for side, one, other in sides)
        return [loss for loss in found if loss]

    @cached_property
    def unstable(self) -> dict[str, Loss]:
        """The arms that lost seeds which another arm finished: what is known of them is that of the other seeds."""
        finished = set().union(*(self.finished(arm.name) for arm in self.ablation.arms))
        found = {arm.name: self._loss(THIS_ARM, arm.name, finished) for arm in self.ablation.arms}
        return {arm: loss for arm, loss in found.items() if loss}

    def _loss(self, side: str, arm: str, wanted: Set[int]) -> Loss | None:
        """Return what an arm lost of the wanted seeds; None if nothing."""
        how = {seed: how for seed, how in self.lost(arm).items() if seed in wanted}
        seeds = len(how) + len(self.finished(arm).keys() & wanted)
        return Loss(side, len(how), seeds, " or ".join(sorted(set(how.values())))) if how else None

    @cached_property
    def same(self) -> list[list[str]]:
        """The groups of arms that trained the same: all epochs have the same losses with each seed that both have."""
        groups: list[list[str]] = []
        for arm in self.ablation.arms:
            group = next((group for group in groups if self._same_losses(group[0], arm.name)), None)
            if group:
                group.append(arm.name)
            else:
                groups.append([arm.name])
        return [group for group in groups if len(group) > 1]

    def _same_losses(self, one: str, other: str) -> bool:
        ones, others = self.finished(one), self.finished(other)
        return bool(seeds := ones.keys() & others.keys()) and all(
            ones[seed].curves[name] == others[seed].curves[name] for seed in seeds for name in ("loss", "val_loss")
        )

    def values(self, measure: Measure, arm: str) -> dict[int, float]:
        """Return a measure of the arm's completed trials, by seed; trials without it are left out.

        So are, of a time, the trials that were carried over: it is that of another day, and may be of another machine.
        """
        timed = measure.metric == tags.TRAIN_SECONDS
        return {
            seed: trial.metrics[measure.metric] * measure.scale
            for seed, trial in self.finished(arm).items()
            if measure.metric in trial.metrics and not (timed and tags.REUSED_FROM in trial.tags)
        }

    @cached_property
    def reused(self) -> int:
        """How many of the completed trials were carried over from earlier studies."""
        return sum(tags.REUSED_FROM in trial.tags for arm in self.arms for trial in self.finished(arm.name).values())

    def differences(self, measure: Measure, arm: str, against: str) -> np.ndarray:
        """Return by how much a measure of `arm` exceeds that of `against`, for each seed that both have: (n,)."""
        one, other = self.values(measure, arm), self.values(measure, against)
        return np.array([one[seed] - other[seed] for seed in one if seed in other])

    def difference(self, measure: Measure, arm: str, against: str) -> Estimate | None:
        """Return the mean of these differences, with an interval that holds at every look, as a verdict's does.

        None without any differences, or if one of the two arms lost seeds.
        """
        differences = self.differences(measure, arm, against)
        if not len(differences) or self.losses(arm, against):
            return None
        return sequence.interval(differences, self.question.comparisons, self.step(measure))

    def on_new_data(self, arm: str, against: str) -> Estimate | None:
        """Return the deciding difference with its interval for new data from the same source.

        None where the split stays the same, which says nothing of other data, and where `difference` is None.
        """
        found = self.difference(self.decides, arm, against)
        if found is None or self.ablation.vary != "split":
            return None
        return self.widest(self.decides, self.differences(self.decides, arm, against), self.question.comparisons)

    def widest(self, measure: Measure, differences: np.ndarray, comparisons: int) -> Estimate:
        """Return the interval of a measure's differences (n,) for new data where the split varies, or for these data.

        The one for new data contains the other.
        """
        step = self.step(measure)
        if self.ablation.vary != "split":
            return sequence.interval(differences, comparisons, step)
        validation, training = (int(self.record.tags[name]) for name in (tags.VALIDATION_ROWS, tags.TRAIN_ROWS))
        return sequence.new_data_interval(differences, comparisons, validation, training, step)

    @cached_property
    def arms(self) -> list[Arm]:
        """The arms in the ablation's order, including those without trials."""
        return [self._arm(arm.name) for arm in self.ablation.arms]

    def _arm(self, name: str) -> Arm:
        values = {measure.metric: list(self.values(measure, name).values()) for measure in MEASURES}
        return Arm(
            name=name,
            trials=len(self.finished(name)),
            failed=sum(trial.status == "FAILED" for trial in self.trials if trial.tags[tags.ARM] == name),
            values={metric: estimate(np.array(numbers)) if numbers else None for metric, numbers in values.items()},
        )

    @property
    def comparisons(self) -> list[tuple[str, str]]:
        """The pairs of arms (arm, against) that are compared."""
        return self.ablation.comparisons(self.pairs)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The verdict on every comparison, by the deciding measure of the models that were kept."""
        return [
            judge(pair, self.differences(self.decides, *pair), self.question, self.losses(*pair))
            for pair in self.comparisons
        ]

    @property
    def judged(self) -> list[Verdict]:
        """The verdicts on all comparisons and effects, whose intervals hold together."""
        return [*self.verdicts, *(effect.verdict for effect in self.effects)]

    @cached_property
    def effects(self) -> list[Effect]:
        """Main effects and interactions of a grid over several fields, over the seeds that every arm has.

        There are none if an arm is unstable: every effect is a mean over all arms.
        """
        return [
            Effect(name, len(levels) > 1, judge((name, ""), differences, self.question))
            for (name, levels), differences in zip(self.ablation.contrasts, self.effect_differences, strict=False)
        ]

    @cached_property
    def effect_differences(self) -> list[np.ndarray]:
        """The differences by seed (n,) that each of the effects is the mean of; none where there are no effects."""
        factors = self.ablation.factors
        if not self.ablation.contrasts:
            return []
        by_arm = [self.values(self.decides, arm.name) for arm in self.ablation.arms]
        seeds = sorted(set.intersection(*map(set, by_arm)))
        if not seeds or self.unstable:
            return []
        shape = (len(seeds), *map(len, factors.values()))
        values = np.array([[arm[seed] for arm in by_arm] for seed in seeds]).reshape(shape)
        return [
            main_effect(values, *levels[0]) if len(levels) == 1 else interaction(values, *levels)
            for _, levels in self.ablation.contrasts
        ]

    def curves(self, metric: str, scale: float = 1) -> dict[str, np.ndarray]:
        """Return for each arm a metric by epoch (seeds, epochs), NaN where a trial had stopped."""
        found = {}
        for arm in self.arms:
            rows = [trial.curves[metric] for trial in self.finished(arm.name).values()]
            if rows:
                found[arm.name] = scale * padded(rows)
        return found

    @cached_property
    def test_set(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The test labels (n,) and images (n, height, width, …) or (0,); None if the study's run lacks them."""
        there = self._test_file
        return (there["labels"], there["images"]) if there else None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes; empty if the study's run lacks them."""
        return tuple(map(str, self._test_file.get("class_names", ())))

    @cached_property
    def _test_file(self) -> dict[str, np.ndarray]:
        content = stored.read_file(self.record, TEST_SET)
        if content is None:
            return {}
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)

    @cached_property
    def predictions(self) -> dict[str, dict[int, np.ndarray]]:
        """The predicted class of every test image (n,), by arm and seed; arms without any are left out."""
        found = {}
        for arm in self.arms:
            files = {seed: stored.read_file(trial, PREDICTIONS) for seed, trial in self.finished(arm.name).items()}
            by_seed = {
                seed: np.load(io.BytesIO(content), allow_pickle=False) for seed, content in files.items() if content
            }
            if by_seed:
                found[arm.name] = by_seed
        return found

    @cached_property
    def ledger(self) -> Ledger | None:
        """The prediction flips of the comparisons; None if the predictions or the labels are missing.

        A comparison of which one arm lost seeds has none: the majority of the others is not the arm's.
        """
        if not self.test_set or not self.predictions:
            return None
        stable = [pair for pair in self.comparisons if not self.losses(*pair)]
        return ledger(self.predictions, self.test_set[0], stable)


def padded(rows: list[list[float]]) -> np.ndarray:
    """Return rows of different lengths as one array (rows, longest), padded with NaN."""
    longest = max(map(len, rows))
    return np.array([[*row, *[np.nan] * (longest - len(row))] for row in rows])


def _arm_and_seed(trial: RunRecord) -> tuple[str, str]:
    return trial.tags[tags.ARM], trial.tags[tags.SEED]


def read(client: store.MlflowClient, run_id: str, compare: str = "auto", *, curves: bool = True) -> AblationResults:
    """Return the ablation of this run, its arms compared as the run says or as `compare` says.

    Without `curves` it is read faster, and has all that verdicts need.

    Raises TrackingError if there is no such run, or if it is not an ablation.
    """
    record = records.read_run(client, run_id)
    definition = stored.read_file(record, ABLATION)
    if definition is None:
        parent = records.study_of(record)
        other = "`mlflow ui` shows the ablations' run IDs."
        hint = f"It is a trial or an arm; its study is run={parent}." if parent else other
        raise TrackingError(f"the run {shown(record.name)} is not an ablation", where=run_id, hint=hint)
    know_described(record.tags.get(tags.NETWORKS), run_id)
    metrics = (*CURVES, "val_cross_entropy") if curves else ()
    return AblationResults(
        client=client,
        record=record,
        ablation=parse_ablation(definition.decode(), record.tags[tags.TASK], f"{run_id}/{ABLATION}", least_arms=1),
        trials=runs_that_count(records.read_trials(client, run_id, metrics), _arm_and_seed),
        pairs=(record.params.get("compare", "baseline") if compare == "auto" else compare) == "pairs",
        decides=DECIDING[record.params.get("decide", "val_accuracy")],
    )
