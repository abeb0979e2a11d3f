"""README and docs: the generated pages are current, and what is named exists and can be read."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from docs import make_reference
from study.design.ablation import catalogue, parse_ablation
from study.design.search_space import parse_space
from study.execution import recovery, storage, worker, worker_pool
from study.training.config import FIELDS
from study.training.networks import own_file

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
LOG = ROOT / "docs" / "lab-log.md"  # tells what was true on a day
FOLDERS = "study|entrypoints|docs|deploy|tests|benchmarks"

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)


def parameters() -> dict[str, set[str]]:
    """Return the parameters of every entry point."""
    entries = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    return {name: set(entry["parameters"]) | {"dry_run"} for name, entry in entries.items()}


@pytest.mark.parametrize("name", make_reference.PAGES)
def test_generated_pages_are_current(name):
    assert (ROOT / name).read_text() == make_reference.PAGES[name](), "run `make reference`"


def test_every_row_of_the_table_of_deaths_names_its_test():
    rows = make_reference.recovery_table()
    assert {row[0] for row in rows} == set(make_reference.SHOWN_BY)
    for row in rows:
        file, name = row[-1].strip("`").split("::")
        assert f"\ndef {name}(" in (ROOT / file).read_text(), row


def test_the_table_of_deaths_has_the_times_and_numbers_of_the_code():
    rows = {row[0]: row for row in make_reference.recovery_table()}

    def has(who: str, words: str) -> bool:
        return words in " | ".join(rows[who])

    assert has("a worker", f"| {recovery.LOOK_SECONDS} s |")
    assert has("a worker, the third on one trial", f"| {recovery.LOOK_SECONDS} s |")
    assert recovery.RETRIES == 2  # so the third is the last
    assert has("MLflow's server, for longer", f"{worker.MOST_FAULTS} in a row")
    assert has("a worker's machine or network", f"no heartbeat for {storage.GRACE_SECONDS} s")
    assert has("the database's server", f"{storage.PATIENCE_SECONDS // 60} minutes at most")
    assert has("`mlflow run` before its program began", f"| {recovery.NEVER_BEGUN_SECONDS // 60} min |")
    for who in ("`mlflow run` around the conductor", "nobody: `-e cancel` ends the study"):
        assert has(who, f"| {worker_pool.POLL_SECONDS} s |")


def test_readme_is_short():
    assert len(README.read_text().splitlines()) <= 200


def test_the_first_commands_are_the_set_up():
    first = blocks(README, "sh")[0].splitlines()
    assert len(first) == 2 and first[0].startswith("pip install mlflow==") and first[1] == "mlflow ui"
    assert first == blocks(ROOT / "docs" / "index.md", "sh")[0].splitlines()


def test_every_entry_point_and_task_is_documented():
    reference = (ROOT / "docs/reference/commands.md").read_text()
    guides = "".join(page.read_text() for page in PAGES if page.parent.name != "reference")
    for name in make_reference.commands():
        assert f"\n## {name}\n" in reference
        assert f"-e {name}" in guides, f"no page shows how {name} is used"
    overview = (ROOT / "docs/catalogue.md").read_text()
    assert all(f"\n## {task}\n" in overview for task in catalogue())


@by_page
def test_commands_name_parameters_that_exist(page):
    if page.parent.name == "reference":
        return  # generated
    text, known = page.read_text(), parameters()
    for entry, words in re.findall(r"mlflow run \.(?: -e (\w+))?([^`\n]*)", text):
        given = set(re.findall(r"-P (\w+)=", words))
        assert given <= known[entry or "main"], f"mlflow run . -e {entry}{words}"
    for entry, words in re.findall(r"python -m entrypoints\.([a-z]\w*)([^`\n]*)", text):
        given = {word.removeprefix("--") for word in shlex.split(words, comments=True) if word.startswith("--")}
        assert given <= known[entry], f"python -m entrypoints.{entry}{words}"


@by_page
def test_programs_and_make_targets_that_are_named_exist(page):
    if page == LOG:
        return
    for module in re.findall(r"python -m ((?:docs|benchmarks|entrypoints|study)[\w.]*\w)", page.read_text()):
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file() or module.endswith(".NAME"), module
    targets = re.search(r"\.PHONY: (.*)", (ROOT / "Makefile").read_text())[1].split()
    assert set(re.findall(r"`make ([a-z-]+)`", page.read_text())) <= set(targets)


@by_page
def test_files_that_are_named_exist(page):
    text = page.read_text()
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    if page != LOG:
        named = set(re.findall(rf"`((?:{FOLDERS})/[\w./-]*\w)`", text))
        assert [path for path in sorted(named) if not (ROOT / path).exists() and "NAME" not in path] == []


def network_on(page, text: str) -> str | None:
    """Return the network whose function the page shows, if the example varies a parameter of it."""
    varied = set(re.findall(r"^    (\w+): \[", text, re.M)) - set(FIELDS)
    for code in blocks(page, "python"):
        if "def build(" in code and any(f"{name}:" in code for name in varied):
            return own_file.admit("page.py", "build", code, page).name
    return None


@by_page
def test_examples_in_yaml_can_be_read(page):
    for number, text in enumerate(blocks(page, "yaml")):
        where = f"{page.name}, example {number + 1}"
        if "arms:" in text:
            assert len(parse_ablation(text, "mine", where, network=network_on(page, text)).arms) >= 2
        elif "fields:" in text:
            assert parse_space(text, "mine", where).dimensions
        else:
            yaml.safe_load(text)


def test_there_are_examples_of_both_kinds():
    everything = "".join(text for page in PAGES for text in blocks(page, "yaml"))
    assert "grid:" in everything and "list:" in everything and "fields:" in everything


def test_every_page_is_in_the_site():
    nav = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(nav) == sorted(str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md"))


def test_deployment_files_name_programs_that_exist():
    for path in (ROOT / "deploy").iterdir():
        for entry in re.findall(r"entrypoints\.(\w+)", path.read_text()):
            assert entry in make_reference.commands()
        assert all((ROOT / name).is_file() for name in re.findall(r"deploy/[\w.]*\w", path.read_text()))
