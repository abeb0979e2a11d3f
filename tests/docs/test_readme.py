"""What the README shows is what the programs say; `python tests/test_readme.py` writes these parts anew."""

import re
from pathlib import Path

import click.testing
import pytest

from entrypoints import ablation, explore, playground, predict, promote, report, search, train, worker
from study.design.ablation import catalogue, load_ablation
from study.design.search_space import parse_space
from study.training.config import FIELDS, value_text

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


COMMANDS = {
    "ablation": ablation,
    "explore": explore,
    "playground": playground,
    "predict": predict,
    "promote": promote,
    "report": report,
    "search": search,
    "worker": worker,
}


def help_text(name: str) -> str:
    runner, command = click.testing.CliRunner(), f"python -m entrypoints.{name}"
    return runner.invoke(COMMANDS[name].main, ["--help"], prog_name=command, terminal_width=100).output.strip()


def tasks_table() -> str:
    rows = []
    for task in catalogue():
        study = load_ablation(task)
        rows.append(f"| `{task}` | {study.question} | {len(study.arms)} × {study.seeds} |")
    return "\n".join(["| task | question | arms × seeds |", "|---|---|---|", *rows])


def fields_table() -> str:
    rows = [f"| `{name}` | `{value_text(field.default)}` | {field.description} |" for name, field in FIELDS.items()]
    return "\n".join(["| field | default | what |", "|---|---|---|", *rows])


@pytest.mark.parametrize("name", COMMANDS)
def test_readme_shows_the_help(name):
    assert f"\n{help_text(name)}\n" in README.read_text()


def test_readme_shows_every_task_of_the_catalogue():
    assert tasks_table() in README.read_text()


def test_readme_shows_every_field_of_a_config():
    assert fields_table() in README.read_text()


def test_the_example_of_an_ablation_in_the_readme_works(tmp_path):
    example, _ = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.S)
    (tmp_path / "mine.yaml").write_text(example)
    study = load_ablation(str(tmp_path / "mine.yaml"))
    assert (len(study.arms), study.seeds) == (4, 8)


def test_the_example_of_a_space_in_the_readme_works():
    _, example = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.S)
    found = parse_space(example, "mine", "mine.yaml")
    assert (len(found.dimensions), found.baseline.network.hidden) == (5, "256")


def test_files_that_the_readme_names_exist():
    text = README.read_text()
    named = re.findall(r"\]\((docs/[^)]+)\)|`((?:docs|study)/[\w./]+|CHANGELOG.md)`", text)
    assert named and all((ROOT / (link or code)).exists() for link, code in named)


def test_commands_of_the_readme_name_parameters_that_exist():
    commands = re.findall(r"mlflow run \.(?: -e (\w+))?(.*)", README.read_text())
    assert commands
    for entry, words in commands:
        given = set(re.findall(r"-P (\w+)=", words))
        assert given <= set((COMMANDS | {"train": train})[entry or "ablation"].DEFAULTS), words


if __name__ == "__main__":
    text = README.read_text()
    for name in COMMANDS:
        usage = rf"Usage: python -m entrypoints\.{name}.*?(?=\n```)"
        text = re.sub(usage, lambda _, name=name: help_text(name), text, flags=re.S)
    text = re.sub(r"\| field \| default \| what \|.*?(?=\n\n)", lambda _: fields_table(), text, flags=re.S)
    text = re.sub(r"\| task \| question \|.*?(?=\n\n)", lambda _: tasks_table(), text, flags=re.S)
    README.write_text(text)
