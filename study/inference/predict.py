"""Finds the model, its data and the pictures that a person asks about, and returns what the network reads in them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from study.analysis import explanations
from study.analysis.explanations import Explanation, Reading
from study.base.errors import ConfigError, DataError, TrackingError, first_line
from study.base.paths import check_regular
from study.base.text import readable
from study.data.dataset import Dataset, load_dataset
from study.inference import novelty, preprocessing, synthetic_digits
from study.tracking import records, registry, store, tags
from study.tracking.registry import Version
from study.training.config import TrialConfig

if TYPE_CHECKING:  # imports TensorFlow
    from study.inference.model import Reader

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
SYNTHETIC = "synthetic"  # in place of a picture file: asks for drawings of digits
LARGE, SMALL = 320, 56  # pixels a side of the stored original: of a single picture, of one among many
DATA_FIELDS = ("data", "target", "size", "validation")  # what a run's params say of its data
MOST_OTHERS = 3  # champions that an error names
NEIGHBOURS = 8  # how many training images an explanation shows


# --- the model --------------------------------------------------------------------------------------


def find_version(client: store.MlflowClient, uri: str) -> Version | None:
    """Return the registered version at ``models:/name@alias`` or ``models:/name/3``; None for other addresses.

    Raises TrackingError if there is none, and says how to make a champion.
    """
    found = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", uri)
    if not found:
        return None
    name, alias, number = found.groups()
    if alias == registry.CHAMPION:
        if version := registry.champion(client, name):
            return version
        others = [f"-P model=models:/{other}@{registry.CHAMPION}" for other in registry.champions(client)]
        others_too = f"Ask another one: {' or '.join(others[:MOST_OTHERS])}; or crown" if others else "Crown"
        hint = f"{others_too} one: mlflow run . -e promote; or name a trial: -P model=RUN_ID."
        raise TrackingError(f"{name} has no champion", where=uri, hint=hint)
    try:
        there = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
    except Exception as failure:  # which one depends on the store
        raise TrackingError(first_line(failure), where=uri) from failure
    return Version(name, str(there.version), there.run_id or "", dict(there.tags))


def load_data(
    client: store.MlflowClient,
    uri: str,
    version: Version | None,
    spec: str | None,
    target: str | None = None,
    size: str | None = None,
) -> Dataset:
    """Return the dataset that `spec` names or, if that is None, the one that the model was trained on.

    A trial's run records its dataset, and a version's tags name its trial; without a record it is MNIST. Raises
    DataError, also if the data have changed since, and TrackingError.
    """
    if spec:
        return load_dataset(spec, target=target, size=size)
    if version:
        run_id = version.tags.get(tags.VERSION_TRIAL, version.run_id)
    else:
        run_id = uri if ":/" not in uri else uri.partition("runs:/")[2].partition("/")[0]
    record = records.read_run(client, run_id) if run_id else None
    params, marks = (record.params, record.tags) if record else ({}, {})
    recorded = TrialConfig.recorded({name: params[name] for name in DATA_FIELDS if name in params}).data
    dataset = load_dataset(
        recorded.source, recorded.validation, target=target or recorded.target, size=size or recorded.size
    )
    wanted = (version.tags.get(tags.VERSION_DATA_SHA256) if version else None) or marks.get(tags.DATASET_SHA256)
    if wanted and dataset.sha256 != wanted:
        raise DataError(
            "not the data that the model was trained on", where=dataset.spec, expected=f"SHA-256 {wanted[:12]}…",
            got=f"{dataset.sha256[:12]}…", hint="Name the data: -P data=mnist, digits or a path.",
        )  # fmt: skip
    return dataset


# --- the pictures -----------------------------------------------------------------------------------


def read(reader: "Reader", pictures: Sequence[tuple]) -> list[Reading]:
    """Return what the network reads in pictures, each (name, picture, seen, true class or None); see Reading."""
    seen = np.stack([seen for _, _, seen, _ in pictures])
    if seen.shape[1:] != reader.image_shape:
        expected, got = (" × ".join(map(str, shape)) for shape in (reader.image_shape, seen.shape[1:]))
        what = "the network reads images of another size"
        raise DataError(what, where=reader.name, expected=expected, got=got)
    probabilities = reader.probabilities(seen)
    doubts, reasons = [None] * len(seen), [""] * len(seen)
    if reader.reference:
        values, reasons = novelty.score(novelty.Reference.from_bytes(reader.reference), seen)
        doubts = values.tolist()
    classes = probabilities.shape[1]
    return [
        Reading(name, picture, image, shares, odd, why, truth if truth is not None and truth < classes else None)
        for (name, picture, image, truth), shares, odd, why in zip(
            pictures, probabilities, doubts, reasons, strict=True
        )
    ]


def open_file(path: Path, side: int = LARGE) -> tuple:
    """Return a picture file as `read` takes it, without a true class; raises ImageError that names the file."""
    check_regular(path, preprocessing.ImageError)
    picture = preprocessing.decode_file(path)
    return readable(path.name), explanations.thumbnail(picture, side), preprocessing.normalize(picture), None


def open_folder(folder: Path) -> tuple[list[tuple], list[tuple[str, str]]]:
    """Return a folder's pictures as `read` takes them, by name, and (file, reason) for those that cannot be read.

    The true class is the digit with which a name begins. Raises ImageError if no picture can be read.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        expected = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise preprocessing.ImageError("no pictures in this folder", where=folder, expected=f"files of {expected}")
    pictures, unreadable = [], []
    for path in paths:
        try:
            pictures.append((*open_file(path, SMALL)[:3], explanations.truth_of(path.name)))
        except preprocessing.ImageError as failure:
            unreadable.append((readable(path.name), str(failure).removeprefix(readable(f"{path}: "))))
    if not pictures:
        first = ": ".join(unreadable[0])
        raise preprocessing.ImageError(f"none of the {len(paths)} pictures can be read", where=folder, got=first)
    return pictures, unreadable


def draw(count: int, seed: int) -> list[tuple]:
    """Return `count` drawings of the digits 0 to 9 in turn as `read` takes them; their strokes depend on the seed."""
    drawn = []
    for number in range(count):
        own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        picture = synthetic_digits.draw(number % 10, own_seed)
        name = f"{number % 10}_drawing_{number + 1:0{len(str(count))}}"
        drawn.append((name, explanations.thumbnail(picture, SMALL), preprocessing.normalize(picture), number % 10))
    return drawn


def explain(reader: "Reader", dataset: Dataset, indices: Sequence[int]) -> list[Explanation]:
    """Return why the network reads these test images as it does; raises DataError for images of another size."""
    test, train = dataset.test, dataset.train
    pictures = [(f"test image {index}", test.inputs[index], test.inputs[index], int(test.labels[index]))
                for index in indices]  # fmt: skip
    layers = reader.network.layers
    dense = [layer.get_weights()[0] for layer in layers[:-2] if layer.name.startswith("hidden_")]
    found = []
    for index, reading in zip(indices, read(reader, pictures), strict=True):
        answers = reading.seen[None]
        for layer in layers[:-2]:  # the last two are the logits and their softmax
            answers = layer(answers, training=False)
        near = explanations.nearest(reading.seen, train.inputs, NEIGHBOURS)
        parts = explanations.contributions(np.asarray(answers)[0], *layers[-2].get_weights())
        found.append(
            Explanation(
                index=index,
                reading=reading,
                neighbours=near,
                images=train.inputs[near.rows],
                labels=train.labels[near.rows],
                contributions=parts,
                logits=np.asarray(layers[-2](answers))[0],
                kernel=dense[0] if len(dense) == 1 else None,
                hidden=len(dense),
            )
        )
    return found


def check_indices(indices: Sequence[int], dataset: Dataset) -> None:
    """Raise ConfigError if an index is beyond the last test image."""
    if beyond := [index for index in indices if index >= len(dataset.test)]:
        last = len(dataset.test) - 1
        expected = f"test images 0 to {last} of {dataset.name}"
        raise ConfigError(f"index cannot be {beyond[0]}", expected=expected)
