"""Reads YAML files that people write, with the line of every key, so that an error can name it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from study.base.errors import StudyError, nearest, shown
from study.base.paths import check_regular, find_file

Key = str | int | None
MOST_BYTES = 200_000  # of a file; an ablation of a thousand arms has a third of it
MOST_DEPTH = 20  # levels of a file, of which ours has five


class YamlError(StudyError):
    """A file that cannot be read, or is not YAML."""


class _Refused(yaml.MarkedYAMLError):
    """Something that YAML knows and these files may not have."""


class _Loader(yaml.SafeLoader):
    """YAML without aliases and tags, in which only what looks like a decimal number is one, as in YAML 1.2.

    A few aliases of aliases stand for more than a memory holds. 1024-10-10 are three layers, not a day in October, 010
    is ten and not eight, and 1:30 is no number of seconds.
    """

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Refused(problem="aliases and anchors, * and &, are not read here", problem_mark=mark)
        if getattr(event, "tag", None):
            raise _Refused(problem="tags, such as !!int, are not read here", problem_mark=mark)
        if self.depth == MOST_DEPTH:
            raise _Refused(problem=f"more than {MOST_DEPTH} levels", problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]{1,400}$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"),
    list("-+0123456789."),
)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(str(node.value)))


class _Dumper(yaml.SafeDumper):
    """Writes what appears twice twice, not as an alias."""

    def ignore_aliases(self, data: object) -> bool:
        return True


for _first, _resolvers in _Loader.yaml_implicit_resolvers.items():
    for _tag, _pattern in _resolvers:  # so that a text which is read as a number, such as 08, is written in quotes
        _Dumper.add_implicit_resolver(_tag, _pattern, [_first])


def names(folder: Path) -> list[str]:
    """Return the names of the project's files in this folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def find(name: str, folder: Path, what: str, error: type[StudyError]) -> Path:
    """Return the file that `name` means: one of the folder's, or a path of its own; raises `error` for neither."""
    there = names(folder)
    if name in there:
        return folder / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")):
        return find_file(name, YamlError)
    hint = f"{nearest(name, there)} The path of a YAML file works too."
    raise error(f"no {what} is called {name}", where=what, hint=hint)


def read(path: Path) -> str:
    """Return the text of a file; raises YamlError where it cannot be read."""
    check_regular(path, YamlError)
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise YamlError("the file is too large", where=path, expected=f"at most {MOST_BYTES // 1000} kB")
        return content.decode()
    except (OSError, UnicodeDecodeError) as failure:
        raise YamlError(f"cannot be read ({getattr(failure, 'strerror', None) or failure})", where=path) from None


def parse(text: str, path: object) -> tuple[object, Callable[..., str]]:
    """Return a YAML file's content, and a function that turns a path of keys into the file and line where it is.

    Raises YamlError with the line, also for duplicate keys.
    """
    lines: dict[tuple[Key, ...], int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        for keys, line in _lines(node):
            if keys in lines:
                raise YamlError(f"{keys[-1]} appears twice", where=f"{path}:{line}", hint="Keep one of them.")
            if not all(isinstance(key, (str, int)) for key in keys):
                raise YamlError("a key is not a word", where=f"{path}:{line}")
            lines[keys] = line
        content = loader.construct_document(node) if node else None
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        what = str(getattr(failure, "problem", None) or failure).splitlines()[0]
        what = what if isinstance(failure, _Refused) else f"not YAML ({what})"
        raise YamlError(what, where=f"{path}:{mark.line + 1}" if mark else path) from None

    def at(*keys: Key) -> str:
        while keys and keys not in lines:
            keys = keys[:-1]
        return f"{path}:{lines[keys]}" if keys else str(path)

    return content, at


class Model(BaseModel):
    """What a file, or a part of one, may say. An error cites a field's description as what it expects."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


AModel = TypeVar("AModel", bound=Model)


def validated(
    model: type[AModel], content: object, at: Callable[..., str], what: str, error: type[StudyError]
) -> AModel:
    """Return the content of a file as `model`; a key without a value counts as absent.

    Raises `error` for the first key that is unknown, is missing or has a wrong value; `at` gives its line.
    """
    if isinstance(content, dict):
        content = {key: value for key, value in content.items() if value is not None}
    try:
        return model.model_validate(content)
    except ValidationError as failure:
        # A misspelt key is reported as unknown, with the nearest name, before the right one is reported as missing.
        first = min(failure.errors(), key=lambda one: one["type"] != "extra_forbidden")
    keys, value = first["loc"], first["input"]
    if not keys:
        raise error(f"not {what}", where=at(), expected=f"a mapping with {', '.join(model.model_fields)}")
    key, where = [part for part in keys if isinstance(part, str)][-1], at(*keys)
    match first["type"]:
        case "missing":
            raise error(f"{key} is missing", where=at())
        case "extra_forbidden":
            raise error(f"no key is called {key}", where=where, hint=nearest(key, model.model_fields))
        case "literal_error":
            known = re.findall("'([^']*)'", first["ctx"]["expected"])
            raise error(f"{key} cannot be {shown(value)}", where=where, hint=nearest(str(value), known))
    raise error(f"{key} cannot be {shown(value)}", where=where, expected=model.model_fields[str(keys[0])].description)


def write(content: object) -> str:
    """Return plain values as a YAML file's text, in their order."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _lines(node: yaml.Node | None, keys: tuple[Key, ...] = ()) -> Iterator[tuple[tuple[Key, ...], int]]:
    """Yield every path of keys in a YAML document with its line (from 1)."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            word = key.value if key.tag == "tag:yaml.org,2002:str" else None
            yield (*keys, word), key.start_mark.line + 1
            yield from _lines(value, (*keys, word))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*keys, index), value.start_mark.line + 1
            yield from _lines(value, (*keys, index))
