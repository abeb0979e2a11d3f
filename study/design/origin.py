"""Where a task comes from: the report that it follows, what that report gives, and where the task departs from it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from study.base import yaml_file
from study.base.errors import AblationError, nearest

Figure = float | tuple[float, ...]  # a number, or one for each layer
Percent = Annotated[float, Field(ge=0, le=100, description="per cent, from 0 to 100")]
Number = Annotated[float, Field(description="a number")]
Numbers = Annotated[tuple[float, ...], Field(min_length=1, description="[a number for each kernel]")]


class _Reported(yaml_file.Model):
    arm: str = Field(min_length=1, description="the name of an arm")
    train_accuracy: Percent | None = Field(default=None, description="per cent, from 0 to 100")
    val_accuracy: Percent | None = Field(default=None, description="per cent, from 0 to 100")
    test_accuracy: Percent | None = Field(default=None, description="per cent, from 0 to 100")
    difference: Number | None = Field(default=None, description="points of accuracy against the baseline")
    train_cost: Number | None = Field(default=None, description="a number")
    val_cost: Number | None = Field(default=None, description="a number")
    seconds: Number | None = Field(default=None, description="a number")
    kernel_means: Numbers | None = Field(default=None, description="[a number for each kernel]")
    kernel_sds: Numbers | None = Field(default=None, description="[a number for each kernel]")


# What a report can give of an arm, in the words and with the unit of a table.
KINDS: Mapping[str, tuple[str, str]] = {
    "train_accuracy": ("training accuracy", "%"),
    "val_accuracy": ("validation accuracy", "%"),
    "test_accuracy": ("test accuracy", "%"),
    "difference": ("accuracy against the baseline", "points"),
    "train_cost": ("training cost", ""),
    "val_cost": ("validation cost", ""),
    "seconds": ("time", "s"),
    "kernel_means": ("mean of each kernel", ""),
    "kernel_sds": ("sd of each kernel", ""),
}


@dataclass(frozen=True)
class Reported:
    """What a report gives of one arm: figures by their kind, one of KINDS."""

    arm: str
    figures: Mapping[str, Figure]

    @property
    def words(self) -> str:
        """The figures with their kinds and units."""
        return ", ".join(figure_text(kind, figure) for kind, figure in self.figures.items())

    def as_plain(self) -> dict[str, object]:
        """Return the entry as plain values for a YAML file."""
        plain = {kind: list(each) if isinstance(each, tuple) else each for kind, each in self.figures.items()}
        return {"arm": self.arm, **plain}


@dataclass(frozen=True)
class Origin:
    """The report that a task follows, what it claims and gives, and where the task departs; all may be empty."""

    source: str = ""
    claims: str = ""
    reported: tuple[Reported, ...] = field(default=())
    departs: str = ""

    @property
    def lines(self) -> list[str]:
        """The source, its claims, and where the task departs, a sentence or two each; the figures are a table."""
        parts = {"Source": self.source, "It claims": self.claims, "Departs": self.departs}
        return [f"{title}: {text}" for title, text in parts.items() if text]

    def as_plain(self) -> dict[str, object]:
        """Return what is not empty, as plain values for a YAML file."""
        content: dict[str, object] = {
            "source": self.source, "claims": self.claims, "reported": [each.as_plain() for each in self.reported],
            "departs": self.departs,
        }  # fmt: skip
        return {key: value for key, value in content.items() if value}


NO_ORIGIN = Origin()


def number_text(figure: Figure) -> str:
    """Return a figure as a report writes it: ``95``, ``-0.0048``, or one number for each layer."""
    numbers = figure if isinstance(figure, tuple) else (figure,)
    return "; ".join(f"{number:.10g}" for number in numbers)


def figure_text(kind: str, figure: Figure) -> str:
    """Return a figure with its kind and unit: ``test accuracy 89.96 %``."""
    title, unit = KINDS[kind]
    return f"{title} {number_text(figure)} {unit}".rstrip()


def read_reported(entries: list[object], arms: Collection[str], at: Callable[..., str]) -> tuple[Reported, ...]:
    """Return what a YAML file's `reported` says; raises AblationError with the line, also for an arm that is not there.

    `at` gives the line of a path of keys below `reported`.
    """
    found = []
    for index, content in enumerate(entries):

        def here(*keys: object, index: int = index) -> str:
            return at(index, *keys)

        entry = yaml_file.validated(_Reported, content, here, "a reported figure", AblationError)
        if entry.arm not in arms:
            raise AblationError(f"no arm is called {entry.arm}", where=here("arm"), hint=nearest(entry.arm, arms))
        figures = {kind: value for kind in KINDS if (value := getattr(entry, kind)) is not None}
        if not figures:
            raise AblationError(f"no figure of {entry.arm}", where=here(), expected=f"one of {', '.join(KINDS)}")
        found.append(Reported(entry.arm, figures))
    return tuple(found)
