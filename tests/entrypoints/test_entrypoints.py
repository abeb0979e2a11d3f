"""The text boundaries: MLproject, the commands' options, the environment files, and what a person sees of an error."""

import re
import subprocess
import sys
import tomllib
from importlib import import_module

import click.testing
import pytest
import yaml
from conftest import MNIST, ROOT
from factories import written
from factories.written import Trial
from mlflow import MlflowClient

from entrypoints import ablation, report
from study.design.ablation import catalogue
from study.reports import study_report
from study.tracking import store

PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
ENTRIES = PROJECT["entry_points"].values()


@pytest.mark.parametrize("name", PROJECT["entry_points"])
def test_mlproject_and_command_have_the_same_parameters_and_defaults(name):
    entry = PROJECT["entry_points"][name]
    module, options = re.fullmatch(r"python -m (\S+) (.*)", entry["command"]).groups()
    assert re.findall(r"--(\S+) \{(\S+)\}", options) == [(key, key) for key in entry["parameters"]]
    assert {key: settings["default"] for key, settings in entry["parameters"].items()} == {
        option.opts[0].removeprefix("--"): option.default
        for option in import_module(module).main.params
        if option.name != "debug"
    }


def test_every_program_is_an_entry_point():
    shared = {"__init__", "program", "options", "option_types", "dataset_lines", "display", "interval_bars"}
    shared |= {"status_tables"}
    programs = {path.stem for path in (ROOT / "entrypoints").glob("*.py")} - shared
    assert programs == set(PROJECT["entry_points"]) - {"main"}


def test_main_is_the_default_ablation():
    assert PROJECT["entry_points"]["main"] == PROJECT["entry_points"]["ablation"]
    assert not {"conda_env", "python_env", "docker_env"} & set(PROJECT)  # conda_env would fail where there is no conda


def test_environment_files_agree():
    """Both environments read the pins, and the pins satisfy what pyproject.toml declares."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    reads_the_pins = ["-r requirements.txt"]
    assert conda[-1]["pip"] == reads_the_pins
    assert yaml.safe_load((ROOT / "python_env.yaml").read_text()) == {"dependencies": reads_the_pins}
    (python,) = (word for word in conda if isinstance(word, str) and word.startswith("python"))
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(project["requires-python"])

    text = (ROOT / "requirements.txt").read_text()
    assert "://" not in text and "--" not in text
    pins: dict[str, list[Requirement]] = {}
    for line in text.splitlines():
        requirement = Requirement(line)
        pins.setdefault(requirement.name.lower(), []).append(requirement)
    for declared in map(Requirement, project["dependencies"]):
        for pin in pins[declared.name.lower()]:
            (exact,) = pin.specifier
            assert exact.operator == "==" and declared.specifier.contains(exact.version), f"{pin} is not {declared}"


@pytest.mark.parametrize("module", sorted({re.search(r"-m (\S+)", entry["command"])[1] for entry in ENTRIES}))
def test_help_names_every_option(module):
    text = click.testing.CliRunner().invoke(import_module(module).main, ["--help"]).output
    assert all((f"{option.opts[0]} " in text) != option.hidden for option in import_module(module).main.params)


@pytest.fixture
def call(call_program):
    return lambda *arguments, command=ablation.main: call_program(command, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "batchsize"], "task: no task is called batchsize. Did you mean batch_size?"),
        (
            ["--task", "zzz"],
            "There are: activation, architecture, batch_epochs_l2, batch_size, batchnorm_l2, capacity, dropout, ",
        ),
        (["--task", "zzz"], "weights. The path of a YAML file works too."),
        (["--task", "missing.yaml"], "missing.yaml: no such file; looked for /"),
        (["--taks", "dropout"], "No such option '--taks'"),
        (["--seeds", "0"], "Error: seeds cannot be '0'; expected a whole number from 1 to 1000, or auto."),
        (["--seeds", "abc"], "Error: seeds cannot be 'abc'"),
        (["--workers", "-1"], "Error: workers cannot be '-1'"),
        (
            ["--launch", "slrum:4"],
            "Error: launch cannot be 'slrum:4'; expected ENGINE:WORKERS, such as",
        ),
        (
            ["--launch", "slurm:4"],
            "Error: slurm: the storage is a SQLite file, which serves one machine",
        ),
        (["--launch", "local:2,fast=1"], "Error: options: local has no option 'fast'. It takes none."),
        (["--plan", "perhaps"], "Error: plan cannot be 'perhaps'; expected true or false."),
        (["--dry_run", "flase"], "Error: dry_run cannot be 'flase'; expected true or false. Did you mean false?"),
        (["--compare", "pair"], "Error: compare cannot be 'pair'; expected baseline or pairs. Did you mean pairs?"),
        (["--vary", "splits"], "Error: vary cannot be 'splits'; expected auto or seed or split. Did you mean split?"),
        (["--vary", "split", "--validation", "0.2"], "validation has no effect with vary=split."),
        (["--epochs", "0"], "epochs cannot be '0'; expected greater than or equal to 1."),
        (["--validation", "none"], "validation cannot be 'none'; expected auto, a fraction such as 0.2, or a count"),
        (["--validation", "99999"], "validation=99999 leaves no rows to train on"),
        (
            ["--data", "nowhere.npz"],
            "/nowhere.npz. data= takes auto, mnist, fashion_mnist, cifar10, digits, ",
        ),
        (["--set", "droput=0.2"], "set: no hyperparameter is called droput. Did you mean dropout"),
        (["--set", "dropout=1.5"], "set: dropout cannot be '1.5'; expected less than or equal to 0.999."),
        (["--set", "dropout"], "set: not a setting; expected field=value,field=value, got 'dropout'."),
        (["--set", "batch_size=64"], "set: batch_size is varied by the arms of batch_size."),
        (
            ["--set", "epochs=3", "--epochs", "2"],
            "set: epochs is given twice. Keep it here or in the parameter epochs.",
        ),
        (["--set", "fold=4"], "set: fold is not changed here. Use the parameter vary."),
        (["--set", "seed=4"], "set: seed is not changed here. Use the parameter seeds."),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(call, arguments, message):
    defaults = [] if "--data" in arguments else ["--data", "digits"]
    status, _, errors = call(*arguments, *defaults)
    assert status != 0
    assert message in errors
    assert "Traceback" not in errors and len(errors.strip().splitlines()) == 1


def test_dead_tracking_server_is_one_line(call, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    status, _, errors = call("--data", "digits")
    assert status == 1
    assert "http://127.0.0.1:9: no MLflow server answers" in errors and "Traceback" not in errors


def test_ctrl_c_during_the_imports_is_one_line():
    program = "import sys; sys.argv[0] = '-m'; import entrypoints, os, signal; os.kill(os.getpid(), signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Error: Interrupted.\n")


def test_debug_shows_the_traceback(call):
    assert "Traceback" in call("--task", "zzz", "--debug")[2]


def test_reason_of_a_failure_is_kept_in_the_run_of_mlflow_run(call, monkeypatch):
    client = store.connect()
    run_id = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    call("--task", "zzz")
    run = client.get_run(run_id)
    assert run.info.status == "FAILED" and "no task is called zzz" in run.data.tags["reason"]


@pytest.mark.parametrize(
    ("words", "notice"),
    [
        (["--dry_run", "true", "--plan", "false"], ""),
        (["--dry_run", "false", "--plan", "TRUE"], "plan is now called dry_run; plan still works in this version.\n"),
    ],
)
def test_dry_run_lists_every_trial_and_runs_none(call, tmp_path, words, notice):
    status, output, errors = call("--task", "dropout", "--data", "digits", "--seeds", "2", *words)
    assert (status, errors) == (0, notice)
    assert len(re.findall(r"^dropout=0\.[013] · seed [12] +about", output, re.M)) == 6
    assert "Nothing was run." in output
    assert not (tmp_path / "optuna.db").exists() and not (tmp_path / "mlflow.db").exists()


def test_a_split_that_varies_is_announced(call):
    status, output, _ = call("--data", "digits", "--vary", "split", "--seeds", "2", "--dry_run", "true")
    assert status == 0
    rows = "digits: 1,318 train, 120 validation, 359 test rows; SHA-256 "
    assert rows in output and "; validation rows 12 folds by class, another one with each seed" in output


@pytest.mark.parametrize(("vary", "rows"), [("auto", "1,318 train"), ("split", "1,318 train"), ("seed", "1,222 train")])
def test_the_command_undoes_a_split_that_the_task_varies(call, tmp_path, vary, rows):
    arms = "question: Why?\nvary: split\nbaseline: {data: digits}\narms: {grid: {hidden: [8, 16]}}\n"
    (tmp_path / "mine.yaml").write_text(arms)
    status, output, _ = call("--task", str(tmp_path / "mine.yaml"), "--vary", vary, "--seeds", "2", "--dry_run", "true")
    assert status == 0 and f"digits: {rows}" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Error: run is missing. Give the ID of a study's run: -P run=… (`mlflow ui` shows it)."),
        (["--run", "abc"], "abc"),
        (["--run", "abc", "--compare", "all"], "compare cannot be 'all'; expected auto or baseline or pairs."),
    ],
)
def test_a_report_of_what_is_not_there_is_refused_in_one_line(call, arguments, message):
    status, _, errors = call(*arguments, command=report.main)
    assert status != 0
    assert message in errors and len(errors.strip().splitlines()) == 1


def test_a_report_is_rendered_again_from_mlflow_alone(call, tmp_path):
    call("--run", "abc", command=report.main)  # makes the store
    run_id = written.write(
        "question: Why?\narms:\n  grid: {l2: [0.0, 0.1]}\n", [Trial("l2=0.0", 1), Trial("l2=0.1", 1)]
    )
    status, output, _ = call("--run", run_id, command=report.main)
    assert status == 0
    assert "not tested: 1 seed; a verdict needs 7" in output
    report_line, link = output.splitlines()[-2:]
    assert link == f"Run {run_id}: `mlflow ui` shows it at {store.run_link(MlflowClient(), run_id)}"
    page = tmp_path / report_line.removeprefix("Report: ")
    assert "mine: Why?" in page.read_text()


def test_list_shows_the_catalogue(call):
    output = call("--task", "list")[1]
    assert [line.split()[0] for line in output.splitlines()] == catalogue()


def test_substitute_for_mnist_is_announced_loudly(call, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("study.data.mnist.MNIST_URL", "http://127.0.0.1:9/mnist.npz")
    _, output, errors = call("--dry_run", "true")
    assert errors.startswith("WARNING: these results are not on MNIST.")
    assert "digits: 1,222 train, 216 validation" in output


def mlflow_run(folder, *parameters, entry="ablation"):
    words = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", entry, "--env-manager", "local"]
    given = [word for parameter in parameters for word in ("-P", parameter)]
    environment = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "HOME": str(folder)}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    return subprocess.run(words + given, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_mlflow_run_from_the_command_line_to_the_table(tmp_path):
    done = mlflow_run(tmp_path, "data=digits", "seeds=1", "epochs=1", "set=hidden=20-7-5,learning_rate=0.01")
    assert done.returncode == 0, done.stderr
    assert re.search(r"batch_size=128 +1 ", done.stdout)
    assert "ablation batch_size" in done.stdout
    noise = [line for line in done.stderr.splitlines() if "INFO mlflow" not in line]
    assert noise == []
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs(["0"])
    assert len(runs) == 1 + 3 + 3 and {run.info.status for run in runs} == {"FINISHED"}
    (study,) = (run for run in runs if run.info.run_name == "ablation batch_size")
    assert study.data.params["set"] == "hidden=20-7-5,learning_rate=0.01"

    again = mlflow_run(tmp_path, f"run={study.info.run_id}", "compare=pairs", entry="report")
    assert again.returncode == 0, again.stderr
    assert re.search(r"batch_size=128 +batch_size=8 ", again.stdout)
    (own,) = client.search_runs(["0"], "attributes.run_name = 'report of ablation batch_size'")
    assert own.info.status == "FINISHED"


@pytest.mark.slow
def test_mlflow_run_of_nonsense_fails_and_leaves_nothing_running(tmp_path):
    done = mlflow_run(tmp_path, "data=digits", "task=nonsense")
    assert done.returncode != 0
    assert "Error: task: no task is called nonsense." in done.stderr
    runs = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["0"], order_by=["start_time DESC"])
    assert runs[0].info.status == "FAILED"
    assert "RUNNING" not in {run.info.status for run in runs}


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.exists(), reason=f"needs real MNIST, which is not at {MNIST}")
def test_batch_size_ablation_on_mnist_reaches_97_percent(call):
    status, output, _ = call("--data", str(MNIST), "--seeds", "1")
    assert status == 0
    scores = [float(score) for score in re.findall(r"^batch_size=\S+ +1 +\S+ +\S+ +(\S+)", output, re.M)]
    assert len(scores) == 3 and all(97 <= score <= 98 for score in scores)


def test_the_command_that_a_report_names_leaves_out_what_is_the_options_default():
    for name, known in study_report.DEFAULTS.items():
        options = {option.name: option.default for option in import_module(f"entrypoints.{name}").main.params}
        assert known == {option: options[option] for option in known}
