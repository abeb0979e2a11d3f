"""Ablations: a question, a baseline, and arms that differ from it in named fields; every arm with the same seeds."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from study.config import TrialConfig, value_text
from study.data import Dataset
from study.errors import AblationError, ConfigError, nearest
from study.workers import Cell

CATALOGUE = Path(__file__).parent / "catalogue"
KEYS = ("question", "known", "baseline", "arms", "seeds")
MOST_SEEDS = 1_000
# These have parameters of their own, and would compare trials on different data or with themselves.
NOT_VARIED = ("data", "validation", "seed")


@dataclass(frozen=True)
class Arm:
    """A name and the settings in which it differs from the baseline."""

    name: str
    settings: Mapping[str, object]


@dataclass(frozen=True)
class Ablation:
    """What is asked, from where, in which arms, and over how many seeds."""

    task: str
    question: str
    known: str
    baseline: TrialConfig
    arms: tuple[Arm, ...]
    seeds: int

    def cells(self, seeds: int, dataset: Dataset) -> list[Cell]:
        """Return a trial for each arm and seed (1 to `seeds`), seed by seed, so that what is done can be compared."""
        common = {"data": dataset.spec, "validation": len(dataset.validation)}
        return [
            Cell(arm.name, self.baseline.replace({**common, **arm.settings, "seed": seed}))
            for seed in range(1, seeds + 1)
            for arm in self.arms
        ]

    def with_baseline(self, settings: Mapping[str, object], *, where: str | None = None) -> "Ablation":
        """Return the ablation around another baseline; raises ConfigError for what its arms vary themselves."""
        for name in settings:
            if name in NOT_VARIED and where == "set":
                raise ConfigError(
                    f"{name} is not changed here",
                    where=where,
                    hint=f"Use the parameter {'seeds' if name == 'seed' else name}.",
                )
            if any(name in arm.settings for arm in self.arms):
                raise ConfigError(
                    f"{name} is what the arms of {self.task} differ in", where=where,
                    hint="Copy the catalogue's YAML file, change its arms, and give its path as the task.",
                )  # fmt: skip
        changed = self.baseline.replace(settings, where=where)
        return Ablation(self.task, self.question, self.known, changed, self.arms, self.seeds)


# --- reading ----------------------------------------------------------------------------------------


def catalogue() -> list[str]:
    """Return the names of the tasks that come with the project."""
    return sorted(path.stem for path in CATALOGUE.glob("*.yaml"))


def load(task: str) -> Ablation:
    """Return the ablation that `task` names: one of the catalogue, or a YAML file of the same form.

    Raises AblationError or ConfigError with the file, the line and the nearest name that exists.
    """
    path = Path(task).expanduser()
    if task in catalogue():
        path = CATALOGUE / f"{task}.yaml"
    elif path.suffix not in (".yaml", ".yml"):
        raise AblationError(
            f"no task is called {task}",
            where="task",
            hint=f"{nearest(task, catalogue())} The path of a YAML file works too.",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise AblationError(f"cannot be read ({getattr(failure, 'strerror', None) or failure})", where=path) from None
    return _parse(text, path)


def _parse(text: str, path: Path) -> Ablation:
    try:
        lines = dict(_lines(yaml.compose(text, yaml.SafeLoader)))
        content = yaml.safe_load(text)
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        raise AblationError(
            f"not YAML ({getattr(failure, 'problem', failure)})", where=f"{path}:{mark.line + 1}" if mark else path
        ) from None

    def at(*keys: object) -> str:
        return f"{path}:{lines.get(keys, 1)}"

    if not isinstance(content, dict):
        raise AblationError("not an ablation", where=path, expected=f"a mapping with {', '.join(KEYS)}")
    for key in content:
        if key not in KEYS:
            raise AblationError(f"no key is called {key}", where=at(key), hint=nearest(str(key), KEYS))
    for key in ("question", "arms"):
        if not content.get(key):
            raise AblationError(f"{key} is missing", where=path)

    baseline = content.get("baseline") or {}
    if not isinstance(baseline, dict):
        raise AblationError("baseline is not a mapping", where=at("baseline"), expected="field: value")
    config = _checked(TrialConfig(), baseline, lambda name: at("baseline", name))
    arms = tuple(_arms(content["arms"], at))
    for arm, where in arms:
        _checked(config, arm.settings, lambda name, where=where: where)
    names = [arm.name for arm, _ in arms]
    if len(arms) < 2 or len(set(names)) < len(names):
        raise AblationError("the arms are not two or more different ones", where=at("arms"), got=", ".join(names))
    seeds = content.get("seeds", 6)
    if not isinstance(seeds, int) or isinstance(seeds, bool) or not 1 <= seeds <= MOST_SEEDS:
        raise AblationError(
            "seeds is not a number of seeds", where=at("seeds"), expected=f"1 to {MOST_SEEDS}", got=repr(seeds)
        )
    return Ablation(
        path.stem, str(content["question"]), str(content.get("known", "")), config, tuple(arm for arm, _ in arms), seeds
    )


def _checked(base: TrialConfig, settings: Mapping[str, object], where: Callable[[str], str]) -> TrialConfig:
    for name, value in settings.items():
        base = base.replace({name: value}, where=where(name))
    return base


def _arms(content: object, at: Callable[..., str]) -> Iterator[tuple[Arm, str]]:
    """Yield each arm with its place in the file."""
    if not isinstance(content, dict) or set(content) not in ({"grid"}, {"list"}):
        raise AblationError(
            "arms are neither a grid nor a list",
            where=at("arms"),
            expected="grid: {field: [values]} or list: [{field: value}]",
        )
    ((form, body),) = content.items()
    if form == "grid":
        if not isinstance(body, dict) or not all(isinstance(values, list) and values for values in body.values()):
            raise AblationError(
                "grid is not a mapping of fields to lists", where=at("arms", "grid"), expected="field: [value, value]"
            )
        for values in itertools.product(*body.values()):
            settings = dict(zip(body, values, strict=True))
            for name in settings:
                _may_vary(name, at("arms", "grid", name))
            yield Arm(_arm_name(settings), settings), at("arms", "grid", next(iter(settings)))
    else:
        if not isinstance(body, list) or not all(isinstance(arm, dict) for arm in body):
            raise AblationError("list is not a list of settings", where=at("arms", "list"), expected="- {field: value}")
        for index, arm in enumerate(body):
            settings = {name: value for name, value in arm.items() if name != "name"}
            for name in settings:
                _may_vary(name, at("arms", "list", index))
            yield Arm(str(arm.get("name") or _arm_name(settings) or "baseline"), settings), at("arms", "list", index)


def _may_vary(name: str, where: str) -> None:
    if name in NOT_VARIED:
        raise AblationError(
            f"arms cannot differ in {name}",
            where=where,
            hint=f"Use the parameter {'seeds' if name == 'seed' else name}.",
        )


def _arm_name(settings: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value_text(value)}" for name, value in settings.items())


def _lines(node: yaml.Node | None, keys: tuple = ()) -> Iterator[tuple[tuple, int]]:
    """Yield every key path of a YAML document with the line (from 1) on which its key stands."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*keys, key.value), key.start_mark.line + 1
            yield from _lines(value, (*keys, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*keys, index), value.start_mark.line + 1
            yield from _lines(value, (*keys, index))
