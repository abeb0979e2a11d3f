"""Turns a command's options into an ablation or a search around its baseline, and the dataset to run it on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from study.base.errors import ConfigError, DataError
from study.data.dataset import Dataset, load_dataset
from study.design.ablation import Ablation, load_ablation
from study.design.auto_space import AUTO_SPACE, space_of, usual_space
from study.design.costs import NO_LIMITS, Limits
from study.design.dimensions import MOST_POINTS
from study.design.limits import BECAUSE_NATS, MARGIN_NATS, Vary
from study.design.search import AUTO, BEST_SAMPLER, DEFAULT_TRIALS, REPLICATING, Budget, Search
from study.design.search_space import SearchSpace, load_space
from study.execution.network_costs import NetworkCosts
from study.training.config import MLP, TrialConfig
from study.training.networks.network import find, network_shape

MOST_SD = 1e18  # float32 holds no larger square


def prepare_ablation(
    task: str,
    *,
    network: str | None = None,
    data: str | None = None,
    target: str | None = None,
    size: str | None = None,
    validation: str | None = None,
    epochs: int | None = None,
    settings: Mapping[str, object] | None = None,
    margin: float | None = None,
    decide: str = "val_accuracy",
    vary: Vary | None = None,
) -> tuple[Ablation, Dataset]:
    """Return a task with its baseline changed as the options ask, and its dataset; None keeps the task's own value.

    `margin` is in the unit of the differences that `decide`: points of accuracy, or nats of cross-entropy. Where the
    split is to vary, as `vary` or else the task says, the dataset is in folds.

    Raises AblationError, ConfigError, DataError.
    """
    ablation = load_ablation(task, network)
    settings = settings or {}
    if "epochs" in settings and epochs is not None:
        raise ConfigError("epochs is given twice", where="set", hint="Keep it here or in the parameter epochs.")
    for name, value in (("validation", validation), ("epochs", epochs)):
        if value is not None:
            ablation = ablation.with_baseline({name: value})
    ablation = ablation.with_baseline(settings, where="set")
    if vary:
        ablation = replace(ablation, vary=vary)
    if ablation.vary == "split":
        if validation is not None:
            hint = "A fold is a twelfth of the training rows."
            raise ConfigError("validation has no effect with vary=split", hint=hint)
        dataset = _load(data, target, size, ablation.baseline.replace({"fold": 0})).in_folds()
    else:
        dataset = _load(data, target, size, ablation.baseline)
    check_networks(ablation.configs, dataset)
    if margin is not None:
        ablation = replace(ablation, margin=margin, because="The command says so.")
    elif decide != "val_accuracy":
        ablation = replace(ablation, margin=MARGIN_NATS, because=BECAUSE_NATS)
    else:
        ablation = ablation.with_visible_margin(dataset)
    return ablation, dataset


def prepare_search(
    space: str | None = None,
    *,
    network: str | None = None,
    metric: str,
    sampler: str,
    pruner: str,
    limit: Limits = NO_LIMITS,
    also: str | None = None,
    replicate: bool = True,
    seed: int,
    data: str | None = None,
    target: str | None = None,
    size: str | None = None,
    epochs: int | None = None,
    settings: Mapping[str, object] | None = None,
) -> tuple[Search, Dataset]:
    """Return a search of this space around the baseline that the options ask for, and its dataset.

    None keeps the space's own value. Networks stay below the `limit`, the baseline's too. A sampler that
    never trains another seed of a point has no use for `replicate`.

    Raises SpaceError, ConfigError, DataError.
    """
    space = space or usual_space(network)
    found = space_of(network or MLP)[0] if space == AUTO_SPACE else load_space(space, network)
    found = found.with_baseline(settings or {}, where="set")
    if sampler == "grid":
        _check_grid(found)
    dataset = _load(data, target, size, found.baseline)
    fixed = {**dataset.settings, "validation": len(dataset.validation), "seed": seed}
    if epochs is not None:
        fixed["epochs"] = epochs
    sampler = BEST_SAMPLER if sampler == AUTO else sampler
    search = Search(
        found.with_baseline(fixed), metric, sampler, pruner, limit, replicate and sampler == REPLICATING, also
    )
    check_networks([search.baseline], dataset)
    if excess := NetworkCosts(search, dataset).excess(search.baseline):
        raise ConfigError(
            f"the baseline has {excess}, and a search begins with its baseline", where="limit",
            expected=search.limit.text, hint="Let it have more, or make the baseline smaller: set=….",
        )  # fmt: skip
    return search, dataset


def search_budget(search: Search, trials: int | None, minutes: float | None, before: int = 0) -> Budget:
    """Return a search's budget: 50 trials if neither is given, and never more trials than the space has points.

    So many trials that it had `before` may lie outside its present space, and count too.
    """
    trials = trials if trials or minutes else DEFAULT_TRIALS
    if trials and (points := search.space.points()):
        trials = min(trials, len(points) + before)
    return Budget(trials, minutes)


def _load(spec: str | None, target: str | None, size: str | None, baseline: TrialConfig) -> Dataset:
    own = baseline.data
    if spec is None:  # the target and the size belong to the data that they are written beside
        spec, target, size = own.source, target or own.target, size or own.size
    return load_dataset(spec, own.validation, own.fold, target, size)


def check_networks(configs: Sequence[TrialConfig], dataset: Dataset) -> None:
    """Raise ConfigError, before anything is trained, for a network that cannot be built for these data as configured.

    One's own are built for it, and asked about a few rows. Raises DataError for features that float32 cannot scale.
    """
    _check_scales(dataset)
    shape = network_shape(dataset.row_shape, dataset.kind == "pixels")
    for part in dict.fromkeys(config.network for config in configs):
        network = find(part.name)
        if network.check:
            network.check(shape, **dict(part.settings))
        if network.source is not None:
            from study.training.network import Rows, check_outputs  # imports TensorFlow

            check_outputs(TrialConfig(network=part), Rows.of(dataset))


def _check_scales(dataset: Dataset) -> None:
    """Raise DataError for a feature that varies by so much that a network cannot scale it."""
    if dataset.kind == "pixels":
        return
    sd = dataset.train.inputs.reshape(len(dataset.train), -1).std(axis=0, dtype=np.float64)
    wrong = np.flatnonzero(sd > MOST_SD)
    if len(wrong):
        place = int(wrong[0])
        name = dataset.features.names[place] if dataset.features else f"feature {place + 1}"
        raise DataError(
            "a feature whose scale a network cannot take", where=f"{dataset.spec}: {name}",
            expected=f"a standard deviation up to {MOST_SD:g}", got=f"{sd[place]:.2g}",
            hint="Give it in another unit.",
        )  # fmt: skip


def _check_grid(space: SearchSpace) -> None:
    if space.points() is None:
        endless = next((one.field for one in space.dimensions if one.values is None), "the space")
        raise ConfigError(
            f"sampler cannot be 'grid' where {endless} has too many values", where=f"space {space.name}",
            expected=f"choices, or a range with a step, for every field, and at most {MOST_POINTS:,} points in total",
        )  # fmt: skip
