"""Compares a trial with its repetition, bit by bit: what a run keeps of each, where they differ first, and why."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from study.base import keras_file
from study.tracking import records, store, stored, tags
from study.tracking.artifacts import BY_EPOCH, OPTIONAL_TRIAL_FILES, PREDICTIONS, STEP_LOSSES, TRIAL_FILES, WEIGHTS
from study.tracking.records import RunRecord

SECONDS = ("epoch_seconds", "train_seconds", "compile_seconds")  # how long it took is no result
CURVES = tuple(name for name in BY_EPOCH if name not in SECONDS)
# The tables but for two, whose numbers are compared themselves; one of them has names of layers, which Keras counts.
COMPARED_ALREADY = (STEP_LOSSES, WEIGHTS)
TABLES = tuple(
    name for name in (*TRIAL_FILES, *OPTIONAL_TRIAL_FILES) if name.endswith(".csv") and name not in COMPARED_ALREADY
)
UNKNOWN = "not recorded"
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Kept:
    """What a trial's run keeps of its training: metrics by epoch and as a whole, files, and weights by their place."""

    epochs: list[dict[str, float]]
    metrics: Mapping[str, float]
    files: Mapping[str, bytes]
    weights: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Part:
    """One part of the comparison: how many of its values are equal, and in words where the first differs."""

    name: str
    compared: int
    equal: int
    first: str | None = None

    @property
    def same(self) -> bool:
        """Whether all values are equal."""
        return self.equal == self.compared


@dataclass(frozen=True)
class Comparison:
    """A trial and its repetition, part by part, in the order in which a training makes them."""

    trial: RunRecord
    again: str  # the run ID of the repetition
    parts: tuple[Part, ...]
    causes: tuple[str, ...]  # what was different when it was repeated

    @property
    def same(self) -> bool:
        """Whether everything that both runs have is equal to the last bit."""
        return all(part.same for part in self.parts)

    @property
    def first(self) -> Part | None:
        """The first part that differs; None if none does."""
        return next((part for part in self.parts if not part.same), None)


def read(client: store.MlflowClient, record: RunRecord) -> Kept:
    """Return what a trial's run keeps; raises TrackingError if some of it cannot be read."""
    content = stored.read_model(client, record.run_id)
    return Kept(
        epochs=records.read_epochs(client, record.run_id),
        metrics=record.metrics,
        files=stored.read_files(record, (STEP_LOSSES, PREDICTIONS, *TABLES)),
        weights={} if content is None else keras_file.weights(content, record.run_id),
    )


# --- the parts --------------------------------------------------------------------------------------


def compare(then: Kept, now: Kept) -> tuple[Part, ...]:
    """Return the parts that a trial has, each compared bit by bit: NaN is equal to NaN, 0 is not equal to −0."""
    parts = [
        _steps(then.files.get(STEP_LOSSES), now.files.get(STEP_LOSSES)),
        _curves(then.epochs, now.epochs),
        _weights(then.weights, now.weights),
        _predictions(then.files.get(PREDICTIONS), now.files.get(PREDICTIONS)),
        _metrics(then.metrics, now.metrics),
        _tables(then.files, now.files),
    ]
    return tuple(part for part in parts if part.compared)


def _part(name: str, pairs: Iterable[tuple[object, object, Callable[[], str]]]) -> Part:
    """Return a part from its pairs of bits: those then, those now, and what says in words where they differ."""
    compared = equal = 0
    first = None
    for before, after, words in pairs:
        compared += 1
        equal += before == after
        if before != after and first is None:
            first = words()
    return Part(name, compared, equal, first)


def _steps(then: bytes | None, now: bytes | None) -> Part:
    # The file has six digits of each: what differs here differs for certain, and the curves see the rest.
    if then is None or now is None:
        return Part("losses of the steps", 0, 0)
    rows, others = (list(csv.reader(io.StringIO(text.decode(errors="replace"))))[1:] for text in (then, now))
    pairs = ((before, after, partial(_of_step, before, after)) for before, after in _zipped(rows, others))
    return _part("losses of the steps", pairs)


def _of_step(then: list[str] | None, now: list[str] | None) -> str:
    if not (then and now):
        return f"step {(then or now or ['', '?'])[1]}: {'only then' if then else 'only now'}"
    return f"step {then[1]} of epoch {then[0]}: {then[-1]} then, {now[-1]} now"


def _curves(then: list[dict[str, float]], now: list[dict[str, float]]) -> Part:
    pairs = []
    for number, (before, after) in enumerate(_zipped(then, now), start=1):
        for name in CURVES:
            pair = ((epoch or {}).get(name) for epoch in (before, after))
            pairs.append(_numbers(f"epoch {number}, {name}", *pair))
    return _part("curves", (pair for pair in pairs if pair[:2] != (b"", b"")))


def _metrics(then: Mapping[str, float], now: Mapping[str, float]) -> Part:
    both = [name for name in then if name in now and name not in BY_EPOCH and name not in SECONDS]
    return _part("scores", (_numbers(name, then[name], now[name]) for name in sorted(both)))


def _numbers(name: str, then: float | None, now: float | None) -> tuple[bytes, bytes, Callable[[], str]]:
    words = ["none" if value is None else repr(value) for value in (then, now)]
    return _bits(then), _bits(now), lambda: f"{name}: {words[0]} then, {words[1]} now"


def _bits(value: float | None) -> bytes:
    if value is None:
        return b""
    return b"nan" if np.isnan(value) else np.float64(value).tobytes()


def _weights(then: Mapping[str, np.ndarray], now: Mapping[str, np.ndarray]) -> Part:
    compared = equal = 0
    first = None
    for name in dict.fromkeys([*then, *now]) if then else ():  # without a model there is nothing to compare
        before, after = then.get(name), now.get(name)
        if before is None or after is None or (before.shape, before.dtype) != (after.shape, after.dtype):
            forms = [UNKNOWN if one is None else f"{one.dtype}{list(one.shape)}" for one in (before, after)]
            compared, first = compared + 1, first or f"{name}: {forms[0]} then, {forms[1]} now"
            continue
        same = _same_numbers(before, after)
        compared, equal = compared + same.size, equal + int(same.sum())
        if not (first or same.all()):
            others = (one.reshape(-1)[~same].astype(np.float64) for one in (before, after))
            apart = np.abs(np.subtract(*others)).max()
            first = f"{name}: {int((~same).sum()):,} of {same.size:,} numbers, {apart:.2g} apart at most"
    return Part("weights", compared, equal, first)


def _same_numbers(then: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Return for every number whether its bits are the same, (n,)."""
    before, after = (np.ascontiguousarray(one).reshape(-1).view(np.uint8) for one in (then, now))
    same: np.ndarray = (before == after).reshape(then.size, then.itemsize).all(axis=1)
    return same


def _predictions(then: bytes | None, now: bytes | None) -> Part:
    if then is None or now is None:
        return Part("predictions", 0, 0)
    before, after = (np.load(io.BytesIO(content), allow_pickle=False) for content in (then, now))
    if before.shape != after.shape:
        return Part("predictions", 1, 0, f"{len(before):,} test rows then, {len(after):,} now")
    apart = np.flatnonzero(before != after)
    words = f"test row {apart[0]}: {before[apart[0]]} then, {after[apart[0]]} now" if len(apart) else None
    return Part("predictions", len(before), len(before) - len(apart), words)


def _tables(then: Mapping[str, bytes], now: Mapping[str, bytes]) -> Part:
    both = [name for name in TABLES if name in then and name in now]
    return _part("tables", ((then[name], now[name], name.__str__) for name in both))


def _zipped(then: Sequence[T], now: Sequence[T]) -> Iterable[tuple[T | None, T | None]]:
    """Return pairs of what stands in the same place; None where one of the two is shorter."""
    longest = max(len(then), len(now))
    before, after = ([*one, *[None] * (longest - len(one))] for one in (then, now))
    return zip(before, after, strict=True)


# --- why they may differ ----------------------------------------------------------------------------

# What decides a result, in the order in which it explains a difference.
CIRCUMSTANCES = {
    tags.DATASET_SHA256: "other data",
    tags.VALIDATION_SPLIT: "another split",
    tags.TRAINING_CODE: "other training code, libraries or compilers' flags",
    tags.LIBRARIES: "other versions of libraries",
    tags.PROCESSOR: "another processor",
    tags.PROCESSOR_FEATURES: "other features of the processor",
    tags.COMPILER: "another compiler",
}
SHOWN = 60  # characters of a value


def causes(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return what decides a result and is not as it was, in words, from the tags of a trial and of its repetition.

    What an older version did not record is named as such: it may be the cause.
    """
    found = []
    for tag, what in CIRCUMSTANCES.items():
        before, after = (marks.get(tag, "xla" if tag == tags.COMPILER else "") for marks in (then, now))
        if before and after and tag == tags.PROCESSOR_FEATURES:  # of the long lists what only one has
            before, after = (_without(*pair) for pair in ((before, after), (after, before)))
        if before != after:
            found.append(f"{what}: {_shown(before)} then, {_shown(after)} now")
    return tuple(found)


def _without(words: str, others: str) -> str:
    return " ".join(word for word in words.split() if word not in others.split()) or "no others"


def _shown(text: str) -> str:
    return (text[:SHOWN] + "…" if len(text) > SHOWN else text) or UNKNOWN


def other_packages(then: str, now: str) -> list[str]:
    """Return which packages have another version now, from two lists of them: ``numpy 2.0 then, 2.1 now``."""
    before, after = (dict(_version(line) for line in text.splitlines()) for text in (then, now))
    pairs = ((name, before.get(name), after.get(name)) for name in sorted({*before, *after}))
    return [f"{name} {old or 'not there'} then, {new or 'not there'} now" for name, old, new in pairs if old != new]


def _version(line: str) -> tuple[str, str]:
    """Return name and version of a line such as ``numpy==2.1``; the first one is ``# Python 3.11.7``."""
    name, _, version = line.removeprefix("# ").replace(" ", "==", 1).partition("==")
    return name, version
