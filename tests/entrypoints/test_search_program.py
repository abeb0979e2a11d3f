"""The search's noun, and its entry points as programs."""

import re
from functools import partial

import pytest
from mlflow import MlflowClient

from entrypoints import report, search, worker
from study.analysis import search_results
from study.design.search import METRICS, Search, parse_search
from study.design.search_space import load_space
from study.execution.queue import create_queue
from study.execution.storage import DEFAULT_STORAGE
from study.tracking import records, store, stored

SPACE = """
baseline: {hidden: 8}
fields:
  learning_rate: {range: [1.0e-3, 1.0e-1], log: true}
  batch_size: {choices: [32, 64]}
"""
QUICK = ("--data", "digits", "--space", "mine.yaml", "--epochs", "3", "--trials", "4", "--workers", "1", "--confirm",
         "false")  # fmt: skip


@pytest.fixture
def call(call_program, tmp_path):
    (tmp_path / "mine.yaml").write_text(SPACE)
    return partial(call_program, search.main)


@pytest.mark.parametrize("metric", METRICS)
def test_a_search_is_read_back_and_knows_what_is_better(metric):
    asked = Search(load_space("wide"), metric, "tpe", "median")
    assert parse_search(asked.as_yaml(), "search.yaml") == asked
    assert asked.better(0.9, 0.1) == (metric == "val_accuracy")
    assert asked.words.startswith(("minimize val_", "maximize val_accuracy"))


@pytest.mark.parametrize("arguments, message", [
    (["--space", "defualt"], "space: no space is called defualt. Did you mean default?"),
    (["--sampler", "TPE"], "sampler cannot be 'TPE'; expected auto or gp or tpe or random or"),
    (["--pruner", "mean"], "pruner cannot be 'mean'; expected hyperband or median or none."),
    (["--metric", "accuracy"], "metric cannot be 'accuracy'"),
    (["--sampler", "grid"], "sampler cannot be 'grid' where learning_rate has too many values"),
    (["--trials", "0"], "trials cannot be '0'; expected a whole number from 1 to 100000, or auto."),
    (["--minutes", "soon"], "minutes cannot be 'soon'; expected a number above 0, up to 100000, or none."),
    (["--minutes", "-1"], "minutes cannot be '-1'"),
    (["--minutes", "nan"], "minutes cannot be 'nan'"),
    (["--epochs", "0"], "epochs cannot be '0'"),
    (["--seed", "x"], "seed cannot be 'x'"),
    (["--set", "batch_size=8"], "set: the baseline's batch_size 8 is not in the space"),
    (["--set", "epochs=8"], "set: epochs is not changed here. Use the parameter epochs."),
    (["--limit", "parameters>9"], "limit cannot be 'parameters>9'; expected parameters<N, latency_ms<T, both"),
    (["--limit", "parameters<9000"], "limit: the baseline has 101,770 parameters, and a search begins"),
    (["--study", ""], "study cannot be ''; expected 1 to 200 printable characters."),
    (["--storage", "postgresql+psycopg://me:secret@127.0.0.1:1/x"], "the queue cannot be opened"),
    (["--storage", "nonsense"], "storage cannot be 'nonsense'; expected auto, sqlite:///FILE.db, or postgresql"),
])  # fmt: skip
def test_bad_input_is_one_line_that_says_what_to_do(call, arguments, message):
    status, _, errors = call("--data", "digits", *arguments)
    assert status != 0
    assert message in errors
    assert "Traceback" not in errors and "secret" not in errors
    assert [line for line in errors.strip().splitlines() if not line.startswith("WARNING")][1:] == []


def test_a_dry_run_shows_the_space_and_runs_nothing(call, tmp_path):
    status, output, errors = call(*QUICK, "--dry_run", "true")
    assert (status, errors) == (0, "")
    assert re.search(r"learning_rate +0\.001 … 0\.1 \(log\) +0\.001", output)
    assert "Nothing was run." in output and not (tmp_path / "optuna.db").exists()
    assert "The comparison" not in output
    minutes = [*QUICK[:6], "--minutes", "5", "--workers", "1", "--dry_run", "true"]
    _, output, _ = call(*minutes)
    fitting = (
        r"^trials for 5 minutes, on 1 worker: about (\d+) to (\d+) trials, then 7 to 20 seeds each of the best and "
    )
    found = re.search(fitting, output, re.M)
    assert 10 < int(found[1]) < int(found[2]) and "by a usual machine's times" in output
    assert "hardly time to compare" in call(*minutes, "--minutes", "0.1")[1]
    _, output, _ = call(*QUICK, "--confirm", "true", "--dry_run", "true")
    assert re.search(r"The comparison of the best with the baseline takes about \d+ s to \d+ s more\.", output)


def test_a_search_from_the_command_to_its_report_and_on(call, call_program):
    status, output, errors = call(*QUICK)
    assert (status, errors) == (0, "")
    assert output.startswith("search mine-digits: minimize val_cross_entropy over learning_rate, batch_size (gp, ")
    first = r"^1/4 +\d[\d:]*(?: s)?  trial 0  done +[\d.]+  best +learning_rate=0.001 batch_size=32$"
    assert re.search(first, output, re.M)
    run_id = re.search(r"^Run (\w+):", output, re.M)[1]
    client = store.connect()
    assert client.get_run(run_id).info.status == "FINISHED"
    assert {trial.tags["state"] for trial in records.read_trials(client, run_id)} <= {"complete", "pruned"}
    there = {file.path for folder in (None, "report") for file in client.list_artifacts(run_id, folder)}
    assert {"search.yaml", "trials.csv", "report/report.html"} <= there

    status, again, errors = call(*QUICK, "--trials", "5")
    assert (status, errors) == (0, "")
    assert f"Run {run_id}:" in again and len(records.read_trials(client, run_id)) == 5
    assert client.get_run(run_id).info.status == "FINISHED"

    status, _, errors = call(*QUICK, "--sampler", "random")
    assert status == 1
    assert "study: the study mine-digits exists, with another sampler; expected gp, got random." in errors
    assert call(*QUICK, "--sampler", "random", "--dry_run", "true")[::2] == (status, errors)

    status, fewer, errors = call(*QUICK, "--trials", "2")
    assert (status, errors) == (0, "")
    assert (
        re.search(r"^5/5 ", fewer, re.M)
        and "mine-digits already had 5 trials; trials is the total, so none was added." in fewer
    )

    MlflowClient().delete_run(run_id)
    status, _, errors = call(*QUICK, "--trials", "6")
    assert status == 1 and f"{run_id}: the study's run was deleted. `mlflow runs restore --run-id" in errors
    MlflowClient().restore_run(run_id)

    status, shown, errors = call_program(report.main, "--run", run_id)
    assert (status, errors) == (0, "") and "Report: " in shown


@pytest.mark.slow
def test_a_search_ends_with_a_verdict_on_what_it_found(call):
    """The best configuration against the baseline, with fresh seeds; the same command again compares no more."""
    quick = (*QUICK[:-1], "true", "--sampler", "random", "--pruner", "none", "--set", "learning_rate=0.001")
    status, output, errors = call(*quick, "--workers", "2")
    assert (status, errors) == (0, "")
    verdict = re.search(
        r"^(▲ Against the baseline, with (\d+) fresh seeds each, .* is better by .* nats .*)$", output, re.M
    )
    assert verdict and output.index(verdict[1]) < output.index("chance to be best")
    run_id = re.search(r"^Run (\w+):", output, re.M)[1]
    client = store.connect()
    study = search_results.read(client, run_id)
    assert len(study.trials) == 4  # those of the comparison are not the search's
    compared = study.confirmation
    assert [arm.trials for arm in compared.arms] == [int(verdict[2])] * 2
    assert compared.ablation.arms[1].settings == study.settings(study.best)
    assert compared.decides.metric == "model_val_cross_entropy" and compared.question.margin == 0.01
    seeds = {trial.tags["seed"] for trial in compared.trials}
    assert len(seeds) == int(verdict[2]) and "1" not in seeds  # the search's own
    assert {trial.tags["test_rows"] for trial in compared.trials} == {"0"}
    assert not any(name.startswith("test") for trial in compared.trials for name in trial.metrics)
    own = client.get_run(compared.record.run_id)
    assert own.data.tags["mlflow.parentRunId"] == run_id and own.info.status == "FINISHED"
    page = stored.read_file(records.read_run(client, run_id), "report/report.md").decode()
    assert verdict[1] in page.replace("\\", "")
    assert "Is it better than the baseline?" in page

    status, again, errors = call(*quick, "--workers", "2")
    assert (status, errors) == (0, "")
    assert verdict[1] in again and "The best configuration against" not in again
    assert search_results.read(client, run_id).confirmation.record.run_id == compared.record.run_id


def test_a_worker_says_what_it_cannot_join(call, call_program, few_digits):
    status, _, errors = call_program(worker.main)
    assert (status, "study is missing" in errors) == (1, True)
    create_queue(DEFAULT_STORAGE, "night")
    status, _, errors = call_program(worker.main, "--study", "nigth")
    assert (status, "no study is called 'nigth'. Did you mean night?" in errors) == (1, True)
