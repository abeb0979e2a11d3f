import pytest
from mlflow import MlflowClient

from study.base.processes import this_process
from study.tracking import arm_runs, records, tags
from study.tracking.arm_runs import ArmSummary
from study.tracking.runs import Run, open_study_run, start_trial_run
from study.tracking.store import connect

PARAMS = {"a=1": {"a": "1", "epochs": "2"}, "a=2": {"a": "2", "epochs": "2"}}
SHA256 = 64 * "5"


@pytest.fixture
def client(store) -> MlflowClient:
    return connect()


@pytest.fixture
def study(client) -> Run:
    run = open_study_run(client, "ablation mine")
    run.log_params({"task": "mine", "epochs": "auto"})
    run.set_tags({tags.TASK: "mine", tags.STUDY: "s", tags.DATASET_SHA256: SHA256} | this_process())
    arm_runs.open_arm_runs(run, PARAMS)
    return run


def trial(study: Run, arm: str, seed: int, **others: str) -> Run:
    parent = records.read_arms(study.client, study.run_id)[arm].run_id
    marks = {tags.ARM: arm, tags.SEED: seed, tags.STATE: tags.COMPLETE, tags.FINGERPRINT: f"{parent} {seed}"} | others
    run = start_trial_run(study.client, study.run_id, f"{arm} · seed {seed}", {}, marks, parent)
    run.end("FINISHED")
    return run


def summary(trials: list[Run], **others) -> ArmSummary:
    usual = {"metrics": {"model_val_accuracy": 0.9}, "curves": {"val_accuracy": [0.8, 0.9]}}
    return ArmSummary(**usual | {"trials": [run.run_id for run in trials]} | others)


def write(study: Run, **summaries: ArmSummary) -> dict[str, records.RunRecord]:
    arm_runs.write_arms(study.client, study.run_id, {f"a={name[1:]}": each for name, each in summaries.items()})
    return records.read_arms(study.client, study.run_id)


def history(client: MlflowClient, run_id: str, metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run_id, metric)]


def test_an_arm_is_a_child_of_its_study_and_a_parent_of_its_trials(client, study):
    run = trial(study, "a=2", 1)
    arms = records.read_arms(client, study.run_id)
    arm = arms["a=2"]
    assert list(arms) == ["a=1", "a=2"] and (arm.name, arm.status) == ("a=2", "RUNNING")
    assert arm.params == {"task": "mine", "epochs": "2", "a": "2"}
    assert (arm.tags[tags.KIND], arm.tags[tags.TASK], arm.tags[tags.STUDY]) == ("arm", "mine", "s")
    assert arm.tags["mlflow.parentRunId"] == arm.tags[tags.STUDY_RUN] == study.run_id
    own = client.get_run(run.run_id).data.tags
    assert (own["mlflow.parentRunId"], own[tags.STUDY_RUN], own[tags.KIND]) == (arm.run_id, study.run_id, "trial")


def test_an_arm_is_never_taken_for_a_trial(client, study):
    first, second = trial(study, "a=1", 1), trial(study, "a=2", 2)
    arms = write(study, a1=summary([first]), a2=summary([second]))
    ids = [first.run_id, second.run_id]
    assert [record.run_id for record in records.read_trials(client, study.run_id)] == ids
    assert [record.run_id for record in records.find_trials(client, study.run_id, None)] == ids
    everywhere = {record.run_id for record in records.find_trials(client, None, None)}
    assert {*ids} <= everywhere and not {arm.run_id for arm in arms.values()} & everywhere
    assert {1, 2} <= set().union(*records.used_seeds(client, SHA256).values())
    assert [equal.run_id for equal in records.find_equals(client, f"{arms['a=1'].run_id} 1")] == [first.run_id]
    assert {records.study_of(record) for record in [*arms.values(), *records.read_trials(client, study.run_id)]} == {
        study.run_id
    }


def test_the_trials_of_one_arm_are_found_by_its_run(client, study):
    run, _ = trial(study, "a=1", 1), trial(study, "a=2", 1)
    arm = records.read_arms(client, study.run_id)["a=1"]
    assert [record.run_id for record in records.find_trials(client, arm.run_id, None)] == [run.run_id]


def test_trials_of_an_older_version_are_found_below_their_study(client, study):
    new = trial(study, "a=1", 2)
    old = client.create_run("0", tags={"mlflow.parentRunId": study.run_id, tags.STATE: tags.COMPLETE}, start_time=1)
    client.set_terminated(old.info.run_id)
    for find in (records.read_trials, lambda *given: records.find_trials(*given, None)):
        assert [record.run_id for record in find(client, study.run_id)] == [old.info.run_id, new.run_id]


def test_an_arm_ends_with_its_figures_and_curves_and_is_not_written_twice(client, study):
    run = trial(study, "a=1", 1)
    told = summary([run], verdict="helps", description="**helps**", metrics={"x": 0.9, "y": float("nan")})
    for _ in range(2):
        arm = write(study, a1=told)["a=1"]
        assert (arm.status, arm.metrics) == ("FINISHED", {"x": 0.9, "val_accuracy": 0.9})
        assert (arm.tags[tags.VERDICT], arm.tags["mlflow.note.content"]) == ("helps", "**helps**")
        assert history(client, arm.run_id, "x") == [(0, 0.9)]
        assert history(client, arm.run_id, "val_accuracy") == [(1, 0.8), (2, 0.9)]


def test_writing_an_arm_takes_two_requests(client, study, monkeypatch):
    run = trial(study, "a=1", 1)
    sent = []

    def counted(name: str):
        do = getattr(client, name)
        return lambda *given, **named: (sent.append(name), do(*given, **named))

    for name in ("log_batch", "set_tag", "log_metric", "set_terminated", "update_run", "delete_tag"):
        monkeypatch.setattr(client, name, counted(name))
    arm_runs.write_arms(client, study.run_id, {"a=1": summary([run], verdict="helps")})
    assert sent == ["log_batch", "set_terminated"]
    arm_runs.write_arms(client, study.run_id, {"a=1": summary([run], verdict="helps")})
    assert sent == ["log_batch", "set_terminated"]


def test_a_verdict_that_no_longer_holds_goes(client, study):
    run = trial(study, "a=1", 1)
    write(study, a1=summary([run], verdict="helps", status="FAILED", reason="one trial failed"))
    arm = write(study, a1=summary([run], metrics={"model_val_accuracy": 0.95}))["a=1"]
    assert (arm.status, arm.metrics["model_val_accuracy"]) == ("FINISHED", 0.95)
    assert tags.VERDICT not in arm.tags and tags.REASON not in arm.tags


def test_curves_over_more_seeds_take_the_place_of_those_over_fewer(client, study):
    first = trial(study, "a=1", 1)
    before = write(study, a1=summary([first]))["a=1"]
    second = trial(study, "a=1", 2)
    after = write(study, a1=summary([first, second], curves={"val_accuracy": [0.7, 0.8]}))["a=1"]
    assert history(client, after.run_id, "val_accuracy") == [(1, 0.7), (2, 0.8)]
    assert (after.name, after.params, after.tags[tags.KIND]) == (before.name, before.params, "arm")
    trials = records.find_trials(client, after.run_id, None)
    assert [record.run_id for record in trials] == [first.run_id, second.run_id]
    assert after.run_id != before.run_id and list(records.read_arms(client, study.run_id)) == ["a=2", "a=1"]


def test_a_study_that_breaks_off_ends_its_arms_which_open_again_with_it(client, study):
    run = trial(study, "a=1", 1)
    write(study, a1=summary([run]))
    arm_runs.close_arm_runs(study, "KILLED", "interrupted")
    arms = records.read_arms(client, study.run_id)
    assert [arm.status for arm in arms.values()] == ["FINISHED", "KILLED"]
    assert arms["a=2"].tags[tags.REASON] == "interrupted"
    arm_runs.open_arm_runs(study, PARAMS)
    again = records.read_arms(client, study.run_id)
    assert {name: arm.run_id for name, arm in again.items()} == {name: arm.run_id for name, arm in arms.items()}
    assert {arm.status for arm in again.values()} == {"RUNNING"}


def test_an_arm_that_another_process_is_at_is_left_alone(client, study):
    run = trial(study, "a=1", 1)
    arm = records.read_arms(client, study.run_id)["a=1"]
    client.set_tag(arm.run_id, "pid", "1")
    assert write(study, a1=summary([run]))["a=1"].status == "RUNNING"


def test_a_study_of_an_older_version_gets_no_arms(client):
    run = open_study_run(client, "old")
    arm_runs.write_arms(client, run.run_id, {"a=1": summary([])})
    assert records.read_arms(client, run.run_id) == {}
    arm_runs.close_arm_runs(run, "KILLED")


def test_a_long_curve_arrives_in_full(client, study):
    run = trial(study, "a=1", 1)
    arm = write(study, a1=summary([run], curves={name: [0.5] * 700 for name in ("loss", "val_loss")}))["a=1"]
    assert [len(history(client, arm.run_id, name)) for name in ("loss", "val_loss")] == [700, 700]


def test_results_of_a_study_are_not_repeated_on_its_trials(client, study):
    study.set_tags({tags.KIND: "study", "verdict.a:2": "helps", "best.l2": "0.1", tags.REASON: "interrupted"})
    own = client.get_run(trial(study, "a=1", 1).run_id).data.tags
    assert own[tags.KIND] == "trial" and not {"verdict.a:2", "best.l2", tags.REASON} & own.keys()
