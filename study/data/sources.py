"""Opens what `data=` names: a known dataset, a file or a folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from study.base.errors import DataError
from study.base.paths import find_file
from study.data import builtin, cifar10, mnist, tabular
from study.data.content import Content
from study.data.folder import read_folder
from study.data.npz import read_npz

NAMED: Mapping[str, Callable[[], Content]] = {
    "mnist": lambda: read_npz(mnist.mnist_file()),
    "fashion_mnist": mnist.fashion_mnist,
    "cifar10": cifar10.cifar10,
    **builtin.BUILTIN,
}
# Where those that are fetched come from.
ADDRESSES = {"mnist": mnist.MNIST_URL, "fashion_mnist": mnist.FASHION_URL, "cifar10": cifar10.CIFAR10_URL}
WANTED = (
    f"data= takes auto, {', '.join(NAMED)}, or the path of an .npz, .csv or .parquet file or of a folder of pictures."
)


@dataclass(frozen=True, eq=False)
class Source:
    """What a `data=` names: its name for people, the text that loads it again, and what it holds."""

    name: str
    spec: str
    content: Content


def open_source(spec: str, target: str | None, size: str | None) -> Source:
    """Return what `spec` names: one of NAMED, or a file or folder; `target` and `size` are as its kind needs them.

    Raises DataError, ImageError, and before it reads anything if `target` or `size` would have no effect.
    """
    if spec in NAMED:
        _refuse(spec, "a dataset with labels of its own", target=target, size=size)
        return Source(spec, spec, NAMED[spec]())
    path = find_file(spec, DataError, WANTED)
    if path.is_dir():
        _refuse(spec, "a folder", target=target)
        if size is None:
            hint = "Say how large its pictures are to be: -P size=28x28."
            raise DataError("this is a folder", where=path, expected="a file, or size=", hint=hint)
        return Source(path.resolve().name, str(path.resolve()), read_folder(path, size))
    if path.suffix.lower() in tabular.SUFFIXES:
        _refuse(spec, "a table", size=size)
        content = tabular.read_table(path, target)
    else:
        _refuse(spec, "an .npz file", target=target, size=size)
        content = read_npz(path)
    return Source(path.stem, str(path.resolve()), content)


def _refuse(spec: str, kind: str, **settings: str | None) -> None:
    for name, value in settings.items():
        if value is not None:
            raise DataError(f"{name}={value} has no effect with {kind}", where=spec)
