"""Ablations: a question, a baseline, and arms that differ from it in named fields and share their seeds."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from study.base import yaml_file
from study.base.errors import AblationError, ConfigError, nearest, shown
from study.data.dataset import Dataset
from study.design.limits import BECAUSE, BECAUSE_SAID, MARGIN, MOST_ARMS, MOST_SEEDS, MOST_TRIALS, Vary
from study.design.origin import NO_ORIGIN, Origin, read_reported
from study.training.config import AUTO, BUILT_IN, DATA_AND_SEED, FIELDS, NETWORK, TrialConfig, settings_text, value_text
from study.training.networks import own_file

CATALOGUE = Path(__file__).parent / "catalogue"
# A figure that a report draws for a task beside those that every report has (study/reports/sections).
Figure = Literal[
    "gap", "size", "stopping", "norms", "gradient_noise", "units", "first_layer", "distributions", "loss_by_step",
    "val_loss_by_step", "heat_maps", "interaction",
]  # fmt: skip
FIGURES: tuple[Figure, ...] = get_args(Figure)
# Data, split and seed have parameters of their own. Arms that differed in them would not be compared on equal terms.
OF_EVERY_ARM = DATA_AND_SEED
OWN_PARAMETER = {"seed": "seeds", "fold": "vary"}  # where it has another name


@dataclass(frozen=True)
class TrialSpec:
    """One trial to run: the arm that it belongs to, and its config."""

    arm: str
    config: TrialConfig

    @property
    def name(self) -> str:
        """The name of the trial's run."""
        return f"{self.arm} · seed {self.config.seed}"

    @property
    def shared(self) -> dict[str, str]:
        """The config as text without the fields in which the trials of one arm differ."""
        own = ("seed",) if self.config.data.fold is None else ("seed", "fold", "validation")
        return {name: text for name, text in self.config.as_text().items() if name not in own}


@dataclass(frozen=True)
class Arm:
    """A name and the settings in which it differs from the baseline."""

    name: str
    settings: Mapping[str, object]


@dataclass(frozen=True)
class Ablation:
    """A question, the baseline, its arms and the smallest difference that matters.

    `margin` is that difference, in points of accuracy, and `because` says why it is that. `seeds` is how many each arm
    gets; None adds seeds until every comparison is settled. `against` names the arm that the others are compared with;
    None means the one that equals the baseline, or else the first. `factors` holds a grid's fields with their values,
    in the order in which the arms run through them; it is empty for listed arms. `figures` are those that show best
    what the task is about. Where the split is to `vary`, seed i validates on fold i - 1 in every arm. `origin` is the
    report that the task follows. `left_out` are the settings of the task's baseline, and its listed arms, that
    name what only the task's own network has.
    """

    task: str
    question: str
    known: str
    baseline: TrialConfig
    arms: tuple[Arm, ...]
    seeds: int | None
    margin: float
    because: str
    factors: Mapping[str, tuple[object, ...]]
    figures: tuple[Figure, ...]
    against: str | None = None
    vary: Vary = "seed"
    origin: Origin = NO_ORIGIN
    left_out: tuple[str, ...] = ()

    @cached_property
    def configs(self) -> list[TrialConfig]:
        """The arms' configs, before they have data and seed."""
        return [self.baseline.replace(arm.settings) for arm in self.arms]

    @property
    def networks(self) -> list[str]:
        """The names of the arms' networks."""
        return list(dict.fromkeys(config.network.name for config in self.configs))

    @property
    def reference(self) -> Arm:
        """The arm that the others are compared with."""
        for arm, config in zip(self.arms, self.configs, strict=True):
            if arm.name == self.against if self.against else config == self.baseline:
                return arm
        return self.arms[0]

    def comparisons(self, pairs: bool = False) -> list[tuple[str, str]]:
        """Return the arms to compare as (arm, against): each with the reference, or all pairs."""
        names = [arm.name for arm in self.arms]
        if pairs:
            return [(later, earlier) for earlier, later in itertools.combinations(names, 2)]
        return [(name, self.reference.name) for name in names if name != self.reference.name]

    @cached_property
    def contrasts(self) -> list[tuple[str, list[tuple[int, int, int]]]]:
        """The effects of a grid over several fields: each one's name, and the levels that it is about.

        A main effect is about one level, an interaction about two; each is (factor, level, reference's level).
        """
        if len(self.factors) < 2:
            return []
        levels = []
        for number, (field, values) in enumerate(self.factors.items()):
            base = values.index(self.reference.settings[field])
            levels += [
                (f"{field}={value_text(value)}", (number, level, base))
                for level, value in enumerate(values)
                if level != base
            ]
        return [(name, [level]) for name, level in levels] + [
            (f"{first} × {second}", [one, other])
            for (first, one), (second, other) in itertools.combinations(levels, 2)
            if one[0] != other[0]
        ]

    def judged_together(self, pairs: bool = False) -> int:
        """Return how many comparisons and effects there are, at least 1: their intervals hold together."""
        return max(1, len(self.comparisons(pairs)) + len(self.contrasts))

    def with_visible_margin(self, dataset: Dataset) -> "Ablation":
        """Return the ablation with a margin that is no smaller than one validation row, which is the least to be seen.

        In folds all rows count: it stays as it is.
        """
        rows, what = len(dataset.validation), "images" if dataset.kind == "pixels" else "rows"
        if self.vary == "split" or self.margin >= 100 / rows:
            return self
        because = f"Of {rows} validation {what} one is {100 / rows:.2g} points: less cannot be seen."
        places = 1 if rows < 1000 else math.ceil(math.log10(rows)) - 1  # 0.5 points of 216 rows, 0.02 of 5,000
        return replace(self, margin=math.ceil(round(100 / rows * 10**places, 6)) / 10**places, because=because)

    def trial_specs(self, seeds: int, dataset: Dataset, first_seed: int = 1) -> list[TrialSpec]:
        """Return the trials of all arms with so many seeds; as `more_specs`."""
        arms = [arm.name for arm in self.arms]
        return self.more_specs(dataset, dict.fromkeys(arms, 0), dict.fromkeys(arms, seeds), first_seed)

    def more_specs(
        self, dataset: Dataset, have: Mapping[str, int], wanted: Mapping[str, int], first_seed: int = 1
    ) -> list[TrialSpec]:
        """Return the trials that each arm lacks, of which it has `have` and should have `wanted` seeds.

        They come seed by seed, so that a partial study can be compared too. Raises ConfigError if an ablation with as
        many seeds for every arm had more than MOST_TRIALS, DataError if there are too few rows for folds.
        """
        seeds = max(wanted.values())
        if (trials := seeds * len(self.arms)) > MOST_TRIALS:
            got = f"{len(self.arms):,} arms × {seeds:,} seeds = {trials:,}"
            raise ConfigError("too many trials", where="seeds", expected=f"at most {MOST_TRIALS:,}", got=got)
        return [
            TrialSpec(arm.name, self.baseline.replace({**arm.settings, **self._of_every_arm(seed, dataset)}))
            for number, seed in enumerate(range(first_seed, first_seed + seeds))
            for arm in self.arms
            if have[arm.name] <= number < wanted[arm.name]
        ]

    def _of_every_arm(self, seed: int, dataset: Dataset) -> dict[str, object]:
        """Return the seed, and the data with the rows that it validates on: those of the dataset, or of its fold."""
        fold = seed - 1 if self.vary == "split" else None
        rows = len(dataset.validation) if fold is None else dataset.fold_rows(fold)
        return {**dataset.settings, "validation": rows, "fold": fold, "seed": seed}

    def with_baseline(self, settings: Mapping[str, object], *, where: str | None = None) -> "Ablation":
        """Return the ablation around another baseline; raises ConfigError for a field that its arms vary."""
        for name in settings:
            if name in OF_EVERY_ARM and where == "set":
                raise ConfigError(f"{name} is not changed here", where=where, hint=_own_parameter(name))
            if any(name in arm.settings for arm in self.arms):
                raise ConfigError(
                    f"{name} is varied by the arms of {self.task}", where=where,
                    hint="Copy the task's YAML file, change its arms, and pass its path as the task.",
                )  # fmt: skip
        changed = self.baseline.replace(settings, where=where)
        return replace(self, baseline=changed)

    def as_yaml(self) -> str:
        """Return the ablation as the text of a YAML file that `parse` reads back."""
        grid = {field: list(values) for field, values in self.factors.items()}
        content = {
            "question": self.question,
            "known": self.known,
            **self.origin.as_plain(),
            "baseline": self.baseline.changes(),
            "arms": {"grid": grid} if grid else {"list": [{"name": arm.name, **arm.settings} for arm in self.arms]},
            "seeds": self.seeds or AUTO,
            "margin": self.margin,
            "because": self.because,
            "figures": list(self.figures),
        }
        content |= {"against": self.against} if self.against else {}
        content |= {"vary": self.vary} if self.vary != "seed" else {}
        return yaml_file.write(content)


def _own_parameter(name: str) -> str:
    return f"Use the parameter {OWN_PARAMETER.get(name, name)}."


# --- reading ----------------------------------------------------------------------------------------


def catalogue() -> list[str]:
    """Return the names of the tasks that come with the project."""
    return yaml_file.names(CATALOGUE)


def load_ablation(task: str, network: str | None = None) -> Ablation:
    """Return the ablation called `task`: one of the catalogue, or a YAML file of the same form, of this `network`.

    None leaves the network to the task. Raises AblationError, ConfigError or YamlError with the file, the line and the
    nearest name that exists.
    """
    path = yaml_file.find(task, CATALOGUE, "task", AblationError)
    return parse_ablation(yaml_file.read(path), path.stem, path, network=network, own_files=True)


def _auto(value: object) -> object:
    return None if value == AUTO else value


def _one_line(value: object) -> str:
    return " ".join(str(value).split())


class _File(yaml_file.Model):
    question: Annotated[str, BeforeValidator(_one_line)] = Field(min_length=1, description="a question")
    known: Annotated[str, BeforeValidator(_one_line)] = ""
    source: Annotated[str, BeforeValidator(_one_line)] = Field(default="", description="the report that it follows")
    claims: Annotated[str, BeforeValidator(_one_line)] = Field(default="", description="what that report concludes")
    reported: list[object] = Field(default=[], description="[{arm: name, test_accuracy: 97.1}]")
    departs: Annotated[str, BeforeValidator(_one_line)] = Field(default="", description="where it departs from that")
    baseline: dict[str, object] = Field(default={}, description="field: value")
    arms: object
    seeds: Annotated[int | None, BeforeValidator(_auto)] = Field(
        default=None, ge=1, le=MOST_SEEDS, strict=True, description=f"auto, or a whole number from 1 to {MOST_SEEDS}"
    )
    margin: float = Field(default=MARGIN, gt=0, le=100, strict=True, description="points of accuracy, above 0")
    because: Annotated[str, BeforeValidator(_one_line)] = ""
    figures: list[Figure] = Field(default=[], description="[name, name]")
    against: str | None = None
    vary: Vary = "seed"


def parse_ablation(
    text: str, task: str, path: object, least_arms: int = 2, *, network: str | None = None, own_files: bool = False
) -> Ablation:
    """Return the ablation that a YAML file's text describes; errors cite `path`.

    With a `network` the settings of the baseline and the listed arms that name what only the task's own network has are
    left out. `own_files` lets
    the text name networks by their files, which are then run. Raises as `load_ablation` does.
    """
    content, at = yaml_file.parse(text, path)
    file = yaml_file.validated(_File, content, at, "an ablation", AblationError)
    if own_files:
        folder = Path(str(path)).parent
        named = {"baseline": _by_name(file.baseline, folder), "arms": _arms_by_name(file.arms, folder)}
        file = file.model_copy(update=named)
    start, settings = TrialConfig(), file.baseline
    if network:
        if NETWORK in settings:
            raise AblationError("the file names its network", where=at("baseline", NETWORK), hint="Leave out network=.")
        start = start.replace({NETWORK: network})
    left_out = [field for field in settings if field in FIELDS and field not in start.fields] if network else []
    settings = {field: value for field, value in settings.items() if field not in left_out}
    baseline = _checked(start, settings, tuple(OWN_PARAMETER), partial(at, "baseline"))
    arms, configs = [], set()
    grid = file.arms.get("grid", {}) if isinstance(file.arms, dict) else {}
    for arm, where in _arms(file.arms, at):
        if network and not grid and any(field in FIELDS and field not in start.fields for field in arm.settings):
            left_out.append(arm.name)
            continue
        arms.append(arm)
        configs.add(_checked(baseline, arm.settings, OF_EVERY_ARM, where))
    if not len(configs) == len({arm.name for arm in arms}) == len(arms) >= least_arms:
        names = ", ".join(arm.name for arm in arms) or "none"
        raise AblationError("an ablation needs two or more different arms", where=at("arms"), got=names)
    if file.against and file.against not in [arm.name for arm in arms]:
        hint = nearest(file.against, [arm.name for arm in arms])
        raise AblationError(f"no arm is called {shown(file.against)}", where=at("against"), hint=hint)
    factors = {field: tuple(values) for field, values in grid.items()}
    figures = [] if network else file.reported  # another network has others
    reported = read_reported(figures, [arm.name for arm in arms], partial(at, "reported"))
    origin = Origin(file.source, file.claims, reported, file.departs)
    because = file.because or (BECAUSE if file.margin == MARGIN else BECAUSE_SAID)
    return Ablation(
        task, file.question, file.known, baseline, tuple(arms), file.seeds, file.margin, because, factors,
        tuple(file.figures), file.against, file.vary, origin, tuple(left_out),
    )  # fmt: skip


def _by_name(settings: Mapping[str, object], folder: Path) -> dict[str, object]:
    """Return settings in which a network that is named by its file has its name in configs; the file is run."""
    if NETWORK not in settings:
        return dict(settings)
    found = settings[NETWORK]
    named = [_own_name(one, folder) for one in found] if isinstance(found, list) else _own_name(found, folder)
    return {**settings, NETWORK: named}


def _own_name(value: object, folder: Path) -> object:
    return value if value in BUILT_IN or not isinstance(value, str) else own_file.named(str(folder / value))


def _arms_by_name(content: object, folder: Path) -> object:
    """Return the arms of a file, with the names of networks in place of their files."""
    if not isinstance(content, dict):
        return content
    found = dict(content)
    if isinstance(found.get("grid"), dict):
        found["grid"] = _by_name(found["grid"], folder)
    if isinstance(found.get("list"), list):
        found["list"] = [_by_name(arm, folder) if isinstance(arm, dict) else arm for arm in found["list"]]
    return found


def _checked(
    base: TrialConfig, settings: Mapping[str, object], fixed: tuple[str, ...], where: Callable[[str], str]
) -> TrialConfig:
    """Return `base` with the settings, checked one at a time so that an error names its line."""
    for name in settings:
        if name in fixed:
            raise AblationError(f"{name} is not set here", where=where(name), hint=_own_parameter(name))
    return base.replace_each(settings, where)


def _arms(content: object, at: Callable[..., str]) -> Iterator[tuple[Arm, Callable[[str], str]]]:
    """Yield each arm, and a function that says where in the file its fields are."""
    grid = content.get("grid") if isinstance(content, dict) and set(content) == {"grid"} else None
    listed = content.get("list") if isinstance(content, dict) and set(content) == {"list"} else None
    if isinstance(grid, dict) and grid and all(isinstance(values, list) and values for values in grid.values()):
        _check_number(math.prod(map(len, grid.values())), at)
        for values in itertools.product(*grid.values()):
            settings = dict(zip(grid, values, strict=True))
            yield Arm(settings_text(settings), settings), partial(at, "arms", "grid")
    elif isinstance(listed, list) and all(isinstance(arm, dict) for arm in listed):
        _check_number(len(listed), at)
        for index, arm in enumerate(listed):
            settings = {name: value for name, value in arm.items() if name != "name"}
            name = " ".join(str(arm["name"]).split()) if "name" in arm else settings_text(settings) or "baseline"
            if not (name and name.isprintable()):
                raise AblationError(f"name cannot be {shown(name)}", where=at("arms", "list", index, "name"))
            yield Arm(name, settings), partial(at, "arms", "list", index)
    else:
        expected = "grid: {field: [value, value]} or list: [{field: value}]"
        raise AblationError("the arms are neither a grid nor a list", where=at("arms"), expected=expected)


def _check_number(arms: int, at: Callable[..., str]) -> None:
    if arms > MOST_ARMS:
        raise AblationError("too many arms", where=at("arms"), expected=f"at most {MOST_ARMS:,}", got=f"{arms:,}")
