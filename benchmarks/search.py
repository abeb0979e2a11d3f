"""Times eight fixed configurations × 3 epochs of MNIST: ours and the best stock set-up, in alternation.

    python -m benchmarks.search [DATA] [RUNS]

Half of them train at batch 32 and half at batch 128. Everything counts: the start of every process, the tables of a
new store, training, recording with the model, and the end (ours: with the report). The stock set-up is Keras's `fit`
with `steps_per_execution` in two worker processes that share an Optuna study and one MLflow store. It logs in batches,
and it logs its models with explicit signatures and requirements.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
BATCH_SIZES, LEARNING_RATES, EPOCHS, WORKERS = (32, 128), (0.0005, 0.001, 0.002, 0.004), 3, 2
TRIALS = len(BATCH_SIZES) * len(LEARNING_RATES)
GOAL_SECONDS = 2.5
SPACE = f"""
fields:
  batch_size: {{choices: {list(BATCH_SIZES)}}}
  learning_rate: {{choices: {list(LEARNING_RATES)}}}
"""


def main(data: str = "mnist", runs: str = "3") -> None:
    """Print the wall time of a trial for both, run by run, with the medians and the ratio."""
    spec = data if data in ("auto", "mnist", "digits") else str(Path(data).resolve())
    seconds: dict[str, list[float]] = {"ours": [], "stock": []}
    for number in range(1, int(runs) + 1):
        for name, run in (("ours", _ours), ("stock", _stock)):
            with tempfile.TemporaryDirectory() as folder:
                clock = time.perf_counter()
                run(spec, Path(folder))
                seconds[name].append((time.perf_counter() - clock) / TRIALS)
        print(
            f"run {number}: " + ", ".join(f"{name} {each[-1]:.2f} s a trial" for name, each in seconds.items()),
            flush=True,
        )
    for name, each in seconds.items():
        print(f"{name}: median of n = {runs}: {median(each):.2f} s a trial ({min(each):.2f}–{max(each):.2f})")
    ratios = [stock / ours for ours, stock in zip(*seconds.values(), strict=True)]
    print(f"ratio {median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f}); goal: ours below {GOAL_SECONDS} s")


def _ours(spec: str, folder: Path) -> None:
    (folder / "eight.yaml").write_text(SPACE)
    words = ["--space", "eight.yaml", "--sampler", "grid", "--pruner", "none", "--epochs", str(EPOCHS), "--data", spec,
             "--confirm", "false"]  # fmt: skip
    _run([sys.executable, "-m", "entrypoints.search", *words, "--workers", str(WORKERS)], folder)


def _stock(spec: str, folder: Path) -> None:
    _run([sys.executable, "-m", "benchmarks.search", "--stock", spec, "start"], folder)
    words = [sys.executable, "-m", "benchmarks.search", "--stock", spec, "work"]
    how = {"cwd": folder, "env": _environment(folder), "stderr": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(words, **how) for _ in range(WORKERS)]
    messages = [worker.communicate()[1] for worker in workers]
    if any(worker.returncode for worker in workers):
        sys.exit("\n".join(messages))


def _run(words: list[str], folder: Path) -> None:
    done = subprocess.run(words, cwd=folder, env=_environment(folder), capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)


def _environment(folder: Path) -> dict[str, str]:
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "PYTHONPATH": str(ROOT)}
    return os.environ | store | {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}


# --- the stock set-up -------------------------------------------------------------------------------


def stock(spec: str, what: str) -> None:
    """Create the stock study, or run one of its workers."""
    import optuna
    from optuna.storages import RDBStorage
    from optuna.study import MaxTrialsCallback
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = RDBStorage("sqlite:///optuna.db", engine_kwargs={"connect_args": {"timeout": 60}})
    if what == "start":
        from mlflow import MlflowClient

        MlflowClient().search_experiments()  # makes the store's tables, once
        study = optuna.create_study(study_name="stock", storage=storage)
        for batch_size in BATCH_SIZES:
            for learning_rate in LEARNING_RATES:
                study.enqueue_trial({"batch_size": batch_size, "learning_rate": learning_rate})
        return
    study = optuna.load_study(study_name="stock", storage=storage)
    limit = MaxTrialsCallback(TRIALS, states=(TrialState.COMPLETE, TrialState.RUNNING))
    study.optimize(_objective(spec), callbacks=[limit])


def _objective(spec: str):
    import keras
    import mlflow
    import numpy as np
    import tensorflow as tf
    from mlflow.models import infer_signature

    from study.data.dataset import load_dataset

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    dataset = load_dataset(spec)
    train, validation = dataset.train, dataset.validation

    def objective(trial) -> float:
        batch_size = trial.suggest_categorical("batch_size", list(BATCH_SIZES))
        learning_rate = trial.suggest_categorical("learning_rate", list(LEARNING_RATES))
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((28, 28)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Flatten(),
                keras.layers.Dense(128, activation="relu"),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile(
            keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"],
            steps_per_execution=200,
        )  # fmt: skip
        history = model.fit(
            train.inputs, train.labels, batch_size=batch_size, epochs=EPOCHS, verbose=0,
            validation_data=(validation.inputs, validation.labels), validation_batch_size=1000,
        )  # fmt: skip
        with mlflow.start_run(run_name=f"trial {trial.number}"):
            mlflow.log_params(trial.params)
            for epoch in range(EPOCHS):
                mlflow.log_metrics({name: values[epoch] for name, values in history.history.items()}, step=epoch + 1)
            predicted = model.predict(validation.inputs, batch_size=1000, verbose=0)
            confusion = tf.math.confusion_matrix(validation.labels, predicted.argmax(axis=1)).numpy()
            mlflow.log_dict({"confusion": confusion.tolist()}, "confusion.json")
            mlflow.tensorflow.log_model(
                model, name="model", pip_requirements=["tensorflow", "keras"],
                signature=infer_signature(np.zeros((1, 28, 28), np.float32), np.zeros((1, 10), np.float32)),
            )  # fmt: skip
        return history.history["val_loss"][-1]

    return objective


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stock"]:
        stock(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
