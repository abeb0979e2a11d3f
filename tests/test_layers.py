"""The floor plan: imports point down, and each library has one door."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

FLOORS = [
    ["collector", "errors", "processes", "quiet", "small_sets", "stopping"],
    ["config", "data", "evaluation", "statistics", "backend", "images", "drawings", "doubt", "yaml_file", "storage"],
    [
        "network",
        "figures",
        "verdict",
        "ledger",
        "numbers",
        "survey",
        "analysis",
        "registry",
        "digit_model",
        "space",
        "importances",
    ],
    ["fingerprint", "training", "inspection", "tracking", "panels", "page", "search", "edges"],
    ["trial", "reader", "serving", "report_parts", "prediction", "queue"],
    ["repair", "reuse", "sampling", "workers", "survey_page"],
    ["joining", "single", "worker", "asking", "plan", "ablation"],
    ["findings", "search_findings"],
    ["extras", "playground", "search_figures"],
    ["report"],
    ["search_report"],
    ["conduct", "champion"],
    ["promotion", "searching"],
]
FLOOR = {module: height for height, modules in enumerate(FLOORS) for module in modules}
DOORS = {
    "mlflow": {"tracking", "registry", "serving", "digit_model"},
    "optuna": {"storage", "queue", "worker", "sampling", "search_findings", "importances"},
    "plotly": {"search_figures"},
    "sqlalchemy": {"storage"},
    "psycopg": {"storage"},
    "psutil": {"processes"},
    "yaml": {"yaml_file"},
    "matplotlib": {"figures", "panels"},
    "markdown_it": {"page"},
    "h5py": {"tracking"},
    "PIL": {"images", "playground"},
    "fastapi": {"playground"},
    "uvicorn": {"playground"},
    "tensorflow": {"backend"},
    "keras": {"backend"},
    "click": {"entrypoints"},
    "rich": {"entrypoints"},
}
MODULES = sorted((ROOT / "study").rglob("*.py"))


def module_of(path: Path) -> str:
    """Return a file's module, which may be a folder of files: ``config``, ``extras``."""
    return path.relative_to(ROOT / "study").parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, wherever in it: ``study.data``, ``numpy``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_every_module_has_its_floor():
    assert sorted(FLOOR) == sorted({module_of(path) for path in MODULES} - {"__init__"})


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports_point_down(path):
    own = module_of(path)
    for name in imported(path):
        package, module, *_ = *name.split("."), ""
        assert package != "entrypoints"
        if package == "study" and {module, own} <= set(FLOOR) and module != own:
            assert FLOOR[module] < FLOOR[own], f"{own} imports {module}"


@pytest.mark.parametrize("path", [*MODULES, *(ROOT / "entrypoints").glob("*.py")], ids=lambda path: path.stem)
def test_each_library_has_one_door(path):
    place = "entrypoints" if path.parent.name == "entrypoints" else module_of(path)
    for library in {name.partition(".")[0] for name in imported(path)} & set(DOORS):
        assert place in DOORS[library], f"{place} imports {library}"
