"""A network in a file of yours: read once, known by its content, and its errors told with the file's line."""

import hashlib
import linecache
import re
import stat
import traceback
import types
from pathlib import Path

from study.base.errors import ConfigError, StudyError, first_line, nearest
from study.training.config import BUILT_IN, GENERAL
from study.training.networks.network import Network, find, know, network_of

FUNCTION = "build"
MOST_BYTES = 1_000_000
SHOWN_HASH = 8
_NAME = re.compile(r"(?P<file>[^@]+?\.py)(:(?P<function>\w+))?(@(?P<hash>[0-9a-f]{8}))?")


def named(text: str) -> str:
    """Return the name of the network that `text` names: one of the project's, one that is known, or a file.

    A file is read and run; so Keras, which it will import, is imported first. Raises ConfigError.
    """
    if text in BUILT_IN:
        return text
    match = _NAME.fullmatch(text)
    if not match or match["hash"]:
        return find(text, "network").name
    path, function = Path(match["file"]), match["function"] or FUNCTION
    return admit(path.name, function, _read(path), path).name


def admit(file: str, function: str, source: str, where: object) -> Network:
    """Run a file's text and make its network known in this process; raises ConfigError."""
    mark = hashlib.sha256(source.encode()).hexdigest()[:SHOWN_HASH]
    name = f"{file}{'' if function == FUNCTION else f':{function}'}@{mark}"
    try:
        known = find(name)
        if known.function:
            return known
    except ConfigError:
        pass
    module = _run(f"network_{mark}", source, where)
    found = getattr(module, function, None)
    if not isinstance(found, types.FunctionType):
        functions = [key for key, value in vars(module).items() if isinstance(value, types.FunctionType)]
        hint = nearest(function, functions) if functions else ""
        raise ConfigError(f"there is no function {function}", where=where, hint=hint)
    network = network_of(name, found, GENERAL, f"{where}:{found.__code__.co_firstlineno}", source=source)
    know(network)
    return network


def parts(name: str) -> tuple[str, str]:
    """Return the file's name and the function of a network of one's own, such as ``my_net.py:wide@1a2b3c4d``."""
    match = _NAME.fullmatch(name)
    if not match:
        raise ConfigError(f"{name} is no network of a file")
    return match["file"], match["function"] or FUNCTION


def _read(path: Path) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError("not a file", where=path, expected="a Python file")
        if status.st_size > MOST_BYTES:
            expected = f"at most {MOST_BYTES:,} bytes"
            raise ConfigError("too large for a network", where=path, expected=expected, got=f"{status.st_size:,}")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = "network= takes mlp, cnn, or the path of a Python file."
        raise ConfigError("no such file", where=path, hint=hint) from None
    except OSError as failure:
        raise ConfigError(f"cannot be read ({failure.strerror or failure})", where=path) from None
    except UnicodeDecodeError:
        raise ConfigError("not a text in UTF-8", where=path) from None


def _run(name: str, source: str, where: object) -> types.ModuleType:
    import study.base.backend  # noqa: F401  with our settings, before the file imports Keras with others

    module = types.ModuleType(name)
    module.__file__ = str(where)
    # So that a traceback can show the line, on machines that do not have the file too.
    linecache.cache[str(where)] = len(source), None, source.splitlines(keepends=True), str(where)
    try:
        code = compile(source, str(where), "exec")
        exec(code, vars(module))
    except StudyError:
        raise
    except SyntaxError as failure:
        raise ConfigError(f"not Python ({failure.msg})", where=f"{where}:{failure.lineno}") from None
    except ImportError as failure:
        hint = "The file has to stand alone: workers on other machines get it without its neighbours."
        raise ConfigError(first_line(failure), where=_place(failure, str(where)), hint=hint) from failure
    except Exception as failure:
        what = f"{type(failure).__name__}: {first_line(failure)}"
        raise ConfigError(what, where=_place(failure, str(where))) from failure
    return module


def failure(network: Network, raised: Exception) -> ConfigError:
    """Return the error for what a network's own code has raised, with the line of its file."""
    file = network.function.__code__.co_filename if network.function else network.name
    return ConfigError(f"{type(raised).__name__}: {first_line(raised)}", where=_place(raised, file))


def wrong(network: Network, what: str, expected: object, got: object, hint: str = "") -> ConfigError:
    """Return the error for a network that returns what it should not."""
    code = network.function.__code__ if network.function else None
    where = f"{code.co_filename}:{code.co_firstlineno}" if code and network.source else network.title
    function = network.function.__name__ if network.function else network.title
    return ConfigError(f"{function} {what}", where=where, expected=expected, got=got, hint=hint)


def _place(raised: BaseException, file: str) -> str:
    """Return file and line of the last frame of a traceback that lies in the file."""
    lines = [frame.lineno for frame in traceback.extract_tb(raised.__traceback__) if frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else file
