"""Checks a ``.keras`` file before anything opens it, and reads its kernels without Keras.

Whoever can write to the artifacts chose its bytes. HDF5 can name other files as the place of its numbers, a zip and
HDF5 can declare more than they hold, and Keras makes whatever layers the configuration names. So a file may hold
stock layers of Keras, and those of a network of one's own that the user has named, and nothing else.
"""

import io
import json
import re
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

import h5py
import numpy as np

from study.base.errors import TrackingError, first_line, shown

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MOST_BYTES = 2 * 2**30  # of a file; the largest network that anybody trains here has 0.1 GB
MOST_TEXT_BYTES = 12 * 2**20  # of its configuration, which has the scale of each feature
MOST_OBJECTS = 10_000  # groups and datasets of HDF5
COUNTED = "study>Counted"
OWN_MODEL = "OwnModel"  # what study.training.network makes of a model with layers of one's own
# Stock parts that neither run code of the file nor read other files, as Lambda, TFSMLayer and StringLookup would.
LAYERS = """
    InputLayer Dense EinsumDense Embedding Activation Identity Masking ReLU LeakyReLU PReLU ELU Softmax Conv1D
    Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose DepthwiseConv1D DepthwiseConv2D SeparableConv1D
    SeparableConv2D MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D LSTM LSTMCell GRU GRUCell SimpleRNN SimpleRNNCell RNN Bidirectional TimeDistributed
    ConvLSTM1D ConvLSTM2D ConvLSTM3D BatchNormalization LayerNormalization GroupNormalization UnitNormalization
    RMSNormalization Normalization Rescaling Resizing CenterCrop CategoryEncoding Dropout SpatialDropout1D
    SpatialDropout2D SpatialDropout3D GaussianDropout GaussianNoise AlphaDropout ActivityRegularization
    MultiHeadAttention GroupQueryAttention Attention AdditiveAttention Reshape Flatten RepeatVector Permute
    Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D
    ZeroPadding3D Concatenate Average Maximum Minimum Add Subtract Multiply Dot RandomFlip RandomRotation
    RandomTranslation RandomZoom RandomContrast RandomBrightness RandomCrop
"""
PARTS = {
    "keras": {"Sequential", "DTypePolicy"},
    "keras.models": {"Functional"},
    "keras.src.models.functional": {"Functional"},
    "keras.layers": set(LAYERS.split()),
    "keras.initializers": {
        "GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal", "RandomNormal",
        "RandomUniform", "TruncatedNormal", "Orthogonal", "Zeros", "Ones", "VarianceScaling",
    },
    "keras.regularizers": {"L1", "L2", "L1L2", "OrthogonalRegularizer"},
    "keras.constraints": {"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"},
    "None": {"__keras_tensor__"},  # how a layer of a Functional names the output of another
}  # fmt: skip
FUNCTIONAL = "Functional"
MOST_LAYERS = 2_000
MOST_NUMBER = 2**20  # in the configuration of a layer; what it makes of it is counted when it is made


def read(path: Path) -> bytes:
    """Return the content of a file from the store; raises TrackingError if it is larger than any model's."""
    if (size := path.stat().st_size) > MOST_BYTES:
        raise TrackingError("too large", where=path.name, expected=f"at most {MOST_BYTES:,} bytes", got=f"{size:,}")
    return path.read_bytes()


def check(content: bytes, where: object = "model.keras", own: Collection[str] = ()) -> int:
    """Raise TrackingError unless these are the bytes of a ``.keras`` file that is whole and safe to open.

    `own` are the names of layers that do not belong to Keras, whose code is at hand. Return how many numbers the file
    holds: Keras makes layers before it reads their weights, and must not be let make larger ones.
    """
    weights, config = _members(content, where)
    with _opened(weights, where) as file:
        numbers = sum(int(dataset.size) for dataset in _datasets(file, where))
    _check_config(config, where, own)
    return numbers


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


def weights(content: bytes, where: object = "model.keras") -> dict[str, np.ndarray]:
    """Return all numbers of a ``.keras`` file by their place in it, such as ``layers/dense/vars/0``, without Keras.

    Raises TrackingError.
    """
    members, _ = _members(content, where)
    with _opened(members, where) as file:
        return {dataset.name.strip("/"): dataset[()] for dataset in _datasets(file, where)}


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
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(content):
                    raise _refused("a file in it unpacks to more than it holds", where, None, member.filename)
                if member.filename != WEIGHTS and member.file_size > MOST_TEXT_BYTES:
                    expected, got = f"at most {MOST_TEXT_BYTES:,} bytes", f"{member.file_size:,}"
                    raise _refused(f"{member.filename} is too large", where, expected, got)
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
                    raise _refused(f"{shown(name)} appears twice", where, "a tree", None)
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


def _check_config(config: bytes, where: object, own: Collection[str]) -> None:
    """Raise TrackingError for layers other than those in PARTS and one's own, and for numbers that no layer needs."""
    try:
        content = json.loads(config)
        content.pop("compile_config", None)  # nobody here reads it
        if foreign := next(foreign_parts(content, own), None):
            raise _refused("not a stock part of a network", where, None, shown(foreign))
        if (layers := len(list(_parts(content)))) > MOST_LAYERS:
            raise _refused("too many layers", where, f"at most {MOST_LAYERS:,}", f"{layers:,}")
        if (most := max(map(abs, _numbers(content)), default=0)) > MOST_NUMBER:
            raise _refused("a layer larger than its weights", where, f"numbers up to {MOST_NUMBER:,}", most)
    except TrackingError:
        raise
    except Exception as failure:
        raise TrackingError(f"a damaged model file ({first_line(failure)})", where=where) from failure


def foreign_parts(content: object, own: Collection[str] = ()) -> Iterator[str]:
    """Yield the names of the parts of a configuration that are neither in PARTS nor among one's `own`."""
    for part in _parts(content):
        module, name, registered = part.get("module"), part["class_name"], part.get("registered_name")
        stock = name in PARTS.get(str(module), ()) and registered in (None, FUNCTIONAL)
        if not (stock or name in own):
            yield f"{module}.{name}"


def _parts(content: object) -> Iterator[dict[str, object]]:
    """Yield every part of a configuration that Keras would make an object of."""
    return (item for item in _items(content) if isinstance(item, dict) and "class_name" in item)


def _numbers(content: object) -> Iterator[int]:
    """Yield every whole number of a configuration that could be a size."""
    return (item for item in _items(content) if isinstance(item, int))


def _items(content: object) -> Iterator[object]:
    waiting = [content]
    while waiting:
        item = waiting.pop()
        yield item
        if isinstance(item, dict):
            waiting += [value for key, value in item.items() if key not in ("seed", "shared_object_id")]
        elif isinstance(item, list):
            waiting += item


def counted(content: bytes) -> bytes:
    """Return a checked ``.keras`` file with COUNTED as the initializer of all weights: they are read from it anyway."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {member.filename: file.read(member) for member in file.infolist()}
    config = json.loads(members[CONFIG])
    for part in _items(config):
        if isinstance(part, dict):
            for key in part:
                if key.endswith("_initializer") and part[key] is not None:
                    part[key] = {"module": None, "class_name": COUNTED, "config": {}, "registered_name": COUNTED}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
        for name, member in (members | {CONFIG: json.dumps(config).encode()}).items():
            packed.writestr(name, member)
    return buffer.getvalue()


def _refused(what: str, where: object, expected: object, got: object) -> TrackingError:
    return TrackingError(f"a model file that is not opened: {what}", where=where, expected=expected, got=got)
