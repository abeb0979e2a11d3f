"""Checks a ``.keras`` file before anything opens it, and reads its kernels without Keras.

Whoever can write to the artifacts chose its bytes. HDF5 can name other files as the place of its numbers, a zip and
HDF5 can declare more than they hold, and Keras makes whatever layers the configuration names. So a file may hold
what this project's networks consist of, and nothing else.
"""

import io
import json
import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from study.base.errors import TrackingError, first_line, shown

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MOST_BYTES = 2 * 2**30  # of a file; the largest network that anybody trains here has 0.1 GB
MOST_TEXT_BYTES = 4 * 2**20  # of its configuration
MOST_OBJECTS = 10_000  # groups and datasets of HDF5
# Stock parts that neither run code of the file nor read other files, as Lambda, TFSMLayer and StringLookup would.
PARTS = {
    "keras": {"Sequential", "DTypePolicy"},
    "keras.layers": {"InputLayer", "Rescaling", "Flatten", "Dense", "Activation", "BatchNormalization", "Dropout"},
    "keras.initializers": {
        "GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal", "RandomNormal",
        "RandomUniform", "Zeros", "Ones", "VarianceScaling",
    },
    "keras.regularizers": {"L2"},
}  # fmt: skip
SHAPES = {"batch_shape", "input_shape", "batch_input_shape", "input_dim"}  # by which a layer can name its own input


def read(path: Path) -> bytes:
    """Return the content of a file from the store; raises TrackingError if it is larger than any model's."""
    if (size := path.stat().st_size) > MOST_BYTES:
        raise TrackingError("too large", where=path.name, expected=f"at most {MOST_BYTES:,} bytes", got=f"{size:,}")
    return path.read_bytes()


def check(content: bytes, where: object = "model.keras") -> None:
    """Raise TrackingError unless these are the bytes of a ``.keras`` file that is whole and safe to open."""
    weights, config = _members(content, where)
    with _opened(weights, where) as file:
        numbers = sum(dataset.size for dataset in _datasets(file, where))
    _check_config(config, numbers, where)


def kernels(content: bytes, where: object = "model.keras") -> list[np.ndarray]:
    """Return the kernels (inputs, units) of a ``.keras`` file's Dense layers, in order; raises TrackingError.

    Keras, which takes ten seconds to import, is not needed.
    """
    weights, _ = _members(content, where)
    with _opened(weights, where) as file:
        found = {dataset.name: dataset for dataset in _datasets(file, where)}
        layers = {name: re.fullmatch(r"/layers/dense(?:_(\d+))?/vars/0", name) for name in found}
        numbered = sorted((int(match[1] or 0), name) for name, match in layers.items() if match)
        return [found[name][()] for _, name in numbered]


# --- the zip ----------------------------------------------------------------------------------------


def _members(content: bytes, where: object) -> tuple[bytes, bytes]:
    """Return a file's weights and its configuration, none of them larger than the file itself."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            members = file.infolist()
            names = [member.filename for member in members]
            if sorted(names) != [CONFIG, METADATA, WEIGHTS]:
                raise _refused("not a model's files", where, f"{CONFIG}, {METADATA}, {WEIGHTS}", shown(names))
            for member in members:  # Keras does not compress them
                limit = len(content) if member.filename == WEIGHTS else MOST_TEXT_BYTES
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > limit:
                    raise _refused("a file in it unpacks to more than it holds", where, None, member.filename)
            return file.read(WEIGHTS), file.read(CONFIG)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, OSError) as failure:
        raise TrackingError(f"a damaged model file ({first_line(failure)})", where=where) from failure


# --- HDF5 -------------------------------------------------------------------------------------------


def _opened(weights: bytes, where: object) -> h5py.File:
    try:
        return h5py.File(io.BytesIO(weights), "r")
    except Exception as failure:  # h5py raises whatever HDF5's error resembles
        raise TrackingError(f"a damaged model file ({first_line(failure)})", where=where) from failure


def _datasets(file: h5py.File, where: object) -> Iterator[h5py.Dataset]:
    """Yield all datasets of an HDF5 file; raises TrackingError for whatever would lead out of it.

    That is every link but a hard one, every external or virtual dataset, and every one with less than it declares.
    """
    waiting, seen, count = [file["/"]], set(), 0
    try:
        while waiting:
            group = waiting.pop()
            for name in group:
                count += 1
                if count > MOST_OBJECTS:
                    raise _refused("too many objects", where, f"at most {MOST_OBJECTS:,}", "more")
                link = group.id.links.get_info(name.encode())
                if link.type != h5py.h5l.TYPE_HARD:
                    raise _refused(f"{shown(name)} is a link to elsewhere", where, "hard links only", None)
                if link.u in seen:  # its address
                    raise _refused(f"{shown(name)} is there twice", where, "a tree", None)
                seen.add(link.u)
                found = group[name]
                if isinstance(found, h5py.Group):
                    waiting.append(found)
                else:
                    _check_dataset(found, where)
                    yield found
    except TrackingError:
        raise
    except Exception as failure:
        raise TrackingError(f"a damaged model file ({first_line(failure)})", where=where) from failure


def _check_dataset(found: object, where: object) -> None:
    if not isinstance(found, h5py.Dataset):
        raise _refused("an HDF5 object of a foreign kind", where, "groups and datasets", type(found).__name__)
    created = found.id.get_create_plist()
    if found.is_virtual or created.get_external_count():
        raise _refused(f"{shown(found.name)} has its numbers in another file", where, None, None)
    if created.get_nfilters() or created.get_layout() == h5py.h5d.CHUNKED:
        raise _refused(f"{shown(found.name)} is compressed", where, "plain numbers", None)
    if found.dtype.kind not in "fiub":
        raise _refused(f"{shown(found.name)} holds no numbers", where, None, found.dtype)
    if found.id.get_storage_size() != found.size * found.dtype.itemsize:
        got = f"{found.size * found.dtype.itemsize:,} bytes declared, {found.id.get_storage_size():,} there"
        raise _refused(f"{shown(found.name)} is not as large as it says", where, None, got)


# --- the configuration ------------------------------------------------------------------------------


def _check_config(config: bytes, numbers: int, where: object) -> None:
    """Raise TrackingError for layers other than those in PARTS, or larger than the `numbers` that the file holds."""
    try:
        content = json.loads(config)
        content.pop("compile_config", None)  # nobody here reads it
        for part in _parts(content):
            module, name = part.get("module"), part["class_name"]
            if name not in PARTS.get(str(module), ()) or part.get("registered_name") is not None:
                raise _refused("not a stock part of a network", where, None, shown(f"{module}.{name}"))
        _check_widths(content["config"]["layers"], numbers, where)
    except TrackingError:
        raise
    except Exception as failure:
        raise TrackingError(f"a damaged model file ({first_line(failure)})", where=where) from failure


def _parts(content: object) -> Iterator[dict[str, object]]:
    """Yield every part of a configuration that Keras would make an object of."""
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "class_name" in item:
                yield item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _check_widths(layers: list[dict[str, Any]], numbers: int, where: object) -> None:
    """Raise TrackingError for layers of more weights than the file holds, because Keras makes them before it reads.

    Keras takes a layer's inputs from the layer before it, from its build_config, and from its own configuration.
    """
    width, weights = math.prod(layers[0]["config"]["batch_shape"][1:]), 0
    for place, layer in enumerate(layers):
        kind, config = layer["class_name"], layer["config"]
        chained = kind != "Sequential" and (kind == "InputLayer") == (place == 0)
        if not chained or (place and SHAPES & config.keys()):
            raise _refused("not a chain of layers behind one input", where, None, shown(config.get("name")))
        inputs = max(width, *(side or 0 for side in (layer.get("build_config") or {}).get("input_shape", [0])))
        if kind == "Dense":
            weights, width = weights + inputs * config["units"], config["units"]
        if kind == "BatchNormalization":
            weights += inputs
        if weights > numbers:
            raise _refused("a layer larger than its weights", where, None, shown(config.get("name")))


def _refused(what: str, where: object, expected: object, got: object) -> TrackingError:
    return TrackingError(f"a model file that is not opened: {what}", where=where, expected=expected, got=got)
