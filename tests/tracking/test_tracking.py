import shlex
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from study.base.errors import TrackingError
from study.tracking import arm_runs, records, stored
from study.tracking.artifacts import csv_text
from study.tracking.params import unquoted
from study.tracking.runs import SECONDS_BETWEEN_WRITES, Run, new_model, note_failure, open_study_run, start_trial_run
from study.tracking.store import connect, said_clearly


@pytest.fixture
def client(store) -> MlflowClient:
    return connect()


def test_trial_run_hangs_below_the_study_and_repeats_its_tags_and_params(client):
    study = open_study_run(client, "ablation batch_size")
    study.log_params({"task": "batch_size", "epochs": "auto"})
    study.set_tags({"study": "s", "task": "batch_size", "arm": "none"})
    run = start_trial_run(client, study.run_id, "a · seed 1", {"epochs": "5"}, {"arm": "a", "seed": 1})
    run.end("FINISHED")
    (record,) = records.read_trials(client, study.run_id)
    assert (record.name, record.status) == ("a · seed 1", "FINISHED")
    assert record.params == {"task": "batch_size", "epochs": "5"}
    assert {key: record.tags[key] for key in ("study", "task", "arm", "seed")} == {
        "study": "s", "task": "batch_size", "arm": "a", "seed": "1",
    }  # fmt: skip
    assert client.get_run(study.run_id).info.run_name == "ablation batch_size"


def test_a_password_that_mlflow_run_wrote_into_the_study_is_not_copied_from_it(client):
    study = open_study_run(client, "a study")
    study.log_params({"storage": "postgresql://me:geheim@there/x", "data": "digits"})
    study.set_tags({"mlflow.source.name": "https://geheim@git.example/x"})
    trial = start_trial_run(client, study.run_id, "a trial", {"data": "mnist"}, {})
    found = client.get_run(trial.run_id).data
    assert found.params == {"storage": "postgresql://me:***@there/x", "data": "mnist"}
    assert found.tags["mlflow.source.name"] == "https://***@git.example/x"
    arm_runs.open_arm_runs(study, {"an arm": {}})
    (arm,) = records.read_arms(client, study.run_id).values()
    model = new_model(client, study.run_id, "model")
    assert arm.params["storage"] == model.params["storage"] == "postgresql://me:***@there/x"


def test_epochs_are_written_while_the_trial_runs_but_not_one_by_one(client):
    run = open_study_run(client, "curves")
    run.log_epoch(1, {"loss": 3.0})
    run.log_epoch(2, {"loss": 2.0})
    assert client.get_metric_history(run.run_id, "loss") == []
    time.sleep(SECONDS_BETWEEN_WRITES)
    run.log_epoch(3, {"loss": 1.0})
    run.log_epoch(4, {"loss": float("nan")})
    assert [point.value for point in client.get_metric_history(run.run_id, "loss")] == [3.0, 2.0, 1.0]
    run.log_epoch(5, {"loss": 0.5})
    run.end("FINISHED", "because")
    assert len(client.get_metric_history(run.run_id, "loss")) == 5
    assert client.get_run(run.run_id).data.tags["reason"] == "because"


def test_trials_that_log_the_same_new_dataset_at_the_same_moment_all_have_it(client, digits):
    trials = [open_study_run(client, f"trial {number}") for number in range(8)]
    for attempt in range(4):
        dataset = replace(digits, sha256=f"{attempt}" * 64)
        gate = Barrier(len(trials))

        def log(run, dataset=dataset, gate=gate):
            gate.wait()
            run.log_dataset(dataset)

        with ThreadPoolExecutor(len(trials)) as threads:
            list(threads.map(log, trials))
    digests = [{used.dataset.digest for used in client.get_run(run.run_id).inputs.dataset_inputs} for run in trials]
    assert digests == [{f"{attempt}" * 16 for attempt in range(4)}] * len(trials)


def test_more_metrics_than_one_request_takes_arrive(client):
    run = open_study_run(client, "many")
    run.log_epoch(0, {"loss": 0.0})
    for epoch in range(1, 1_500):
        run._waiting.append(Metric("loss", float(epoch), 0, epoch))
    run.log_summary({"best": 1.0})
    assert len(client.get_metric_history(run.run_id, "loss")) == 1_500


def test_run_of_mlflow_run_is_taken_over_with_its_params(client, monkeypatch):
    made = client.create_run("0", run_name="rumbling-toad-7")
    client.log_param(made.info.run_id, "task", "dropout")
    monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)
    run = open_study_run(client, "ablation dropout")
    run.log_params({"task": "another", "seeds": "6"})
    now = client.get_run(made.info.run_id)
    assert (run.run_id, now.info.run_name) == (made.info.run_id, "ablation dropout")
    assert now.data.params == {"task": "dropout", "seeds": "6"}


def test_params_that_mlflow_run_quoted_for_the_shell_are_read_as_they_were_given(client):
    given = {
        "data": "/my data/it's.npz",
        "filter": "params.activation = 'relu'",
        "image": "a#b;c.png",
        "set": "hidden=64",
    }
    made = client.create_run("0")
    for name, value in given.items():
        client.log_param(made.info.run_id, name, shlex.quote(value))
    assert records.read_run(client, made.info.run_id).params == given
    trial = start_trial_run(client, made.info.run_id, "a trial", {}, {})
    assert client.get_run(trial.run_id).data.params == given


@pytest.mark.parametrize(
    "value", ["it's", "'", "''", "'a' 'b'", "'a'b", " 'a b'", "'ab'", "auto", "", "/a/'x y'/z", 'x "y"']
)
def test_other_params_keep_their_quotes(value):
    assert unquoted({"x": value}) == {"x": "" if value == "''" else value}


def test_failure_is_noted_in_the_run_of_mlflow_run(client, monkeypatch):
    made = client.create_run("0")
    monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)
    note_failure(client, "no task is called <x>.", r"no task is called \<x\>.")
    now = client.get_run(made.info.run_id)
    assert now.info.status == "FAILED"
    assert now.data.tags["reason"] == "no task is called <x>."
    assert now.data.tags["mlflow.note.content"] == r"no task is called \<x\>."
    note_failure(client, "later", "later")
    assert client.get_run(made.info.run_id).data.tags["reason"] == "no task is called <x>."


def test_an_artifact_below_a_folder_with_a_number_sign_is_found(client):
    folder = Path("a #b").absolute()
    experiment = client.create_experiment("number sign", artifact_location=str(folder))
    run_id = client.create_run(experiment).info.run_id
    Run(client, run_id).log_files({"a/b.txt": "x"})
    assert Path(stored.artifact_path(client, run_id, "a/b.txt")).read_text() == "x"
    assert stored.read_file(records.read_run(client, run_id), "a/b.txt") == b"x"


def test_experiment_is_made_by_name(client, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    runs = [open_study_run(client, "a"), open_study_run(client, "b")]
    experiments = {client.get_run(run.run_id).info.experiment_id for run in runs}
    assert experiments == {client.get_experiment_by_name("mine").experiment_id}


def test_more_trials_than_a_page_holds_are_read(client, monkeypatch):
    study = open_study_run(client, "paged")
    for seed in range(5):
        start_trial_run(client, study.run_id, f"t{seed}", {}, {}).end("FINISHED")
    search = client.search_runs
    monkeypatch.setattr(client, "search_runs", lambda *a, **k: search(*a, **k | {"max_results": 2}))
    assert [record.name for record in records.read_trials(client, study.run_id)] == [f"t{seed}" for seed in range(5)]


def test_server_that_does_not_answer_is_an_error_at_once(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(TrackingError, match=r"http://127.0.0.1:9: no MLflow server answers .*Start it with"):
        connect()
    assert time.monotonic() - start < 6


@pytest.mark.parametrize("folder", ["/proc", "/nowhere/at/all"])
def test_store_that_cannot_be_written_is_an_error_at_once(folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    with pytest.raises(TrackingError, match=f"{folder}: nothing can be written here"):
        connect()


def test_file_that_is_no_database_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "mlflow.db").write_text("This is not a database. " * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(TrackingError, match="not a database"):
        connect()


def test_a_store_that_is_half_made_is_told(tmp_path):
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE _alembic_tmp_runs (a)")
        with pytest.raises(TrackingError, match="delete the file"), said_clearly("here"):
            connection.execute("CREATE TABLE _alembic_tmp_runs (a)")


def test_tables_keep_commas_and_quotes():
    assert csv_text(("a", "b"), [("x,y", 'say "z"')]) == 'a,b\n"x,y","say ""z"""\n'


def test_words_of_a_table_are_no_formulas_and_numbers_stay_numbers():
    words = ("=1+1", "+x", "-x", "@SUM(A1)", "\t=1", "a=1", "'=1")
    numbers = ("-0.5", "+1e-3", -2, "-inf", None, "")
    assert csv_text(words, [numbers]) == "'=1+1,'+x,'-x,'@SUM(A1),'\t=1,a=1,'=1\n-0.5,+1e-3,-2,-inf,,\n"
