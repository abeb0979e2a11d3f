"""Each library has one door, and `__init__` files are bare; the layers are held by import-linter."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

# For each library the packages or modules that may import it.
DOORS = {
    "mlflow": {"study.tracking", "study.inference.serving"},
    "optuna": {"study.execution", "study.analysis.search_results", "study.analysis.search_diagnostics"},
    "cmaes": {"study.execution.cma_es"},
    "plotly": {"study.reports.plots"},
    "matplotlib": {"study.reports.plots"},
    "markdown_it": {"study.reports.document"},
    "sqlalchemy": {"study.execution.storage", "study.execution.optuna_internals"},
    "psycopg": {"study.execution.storage"},
    "ray": {"study.execution.engines.ray"},
    "psutil": {"study.base.processes"},
    "yaml": {"study.base.yaml_file"},
    "h5py": {"study.base.keras_file"},
    "PIL": {
        "study.data.pictures",
        "study.inference.preprocessing",
        "study.inference.playground",
        "study.reports.plots",
    },
    "fastapi": {"study.inference.playground"},
    "uvicorn": {"study.inference.playground"},
    "tensorflow": {"study.base.backend"},
    "keras": {"study.base.backend"},
    "click": {"entrypoints"},
    "rich": {"entrypoints"},
}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for folder in ("study", "entrypoints")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def imported(path: Path) -> Iterator[str]:
    """Yield the libraries that a file imports, wherever in it: ``study``, ``numpy``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_each_library_has_one_door(module):
    for library in set(imported(MODULES[module])) & set(DOORS):
        assert any(f"{module}.".startswith(f"{door}.") for door in DOORS[library]), f"{module} imports {library}"


@pytest.mark.parametrize("module", [name for name in MODULES if name.endswith("__init__") and name.count(".") > 1])
def test_a_package_says_what_lives_in_it_and_nothing_else(module):
    (node,) = ast.parse(MODULES[module].read_text()).body
    assert isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
