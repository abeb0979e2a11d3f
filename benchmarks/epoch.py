"""Compares the compiled epoch with stock `model.fit`, in alternation, on one core each: seconds, ratio and n.

    python -m benchmarks.epoch [DATA] [ROUNDS] [NETWORK …]

Without networks, the default one at three batch sizes, and what dropout and L2 cost. With them a table of these
(mlp, cnn, or FILE.py:NAME) on the first 8,192 training rows, at two batch sizes: none should be slower than `fit`.

Two single-threaded processes take turns on one core, so that a machine that slows down does so for both. A worker has
one core, and `fit` would otherwise feed its batches from a second one. The cost of dropout and L2 is measured in the
first process, alternating with the plain epoch.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from statistics import median

BATCHES = (8, 32, 128)
GOALS = {8: 14, 32: 8, 128: 4}
EXTRAS = {"dropout": {"dropout": 0.1}, "l2": {"l2": 1e-4}}
FEW_ROWS = 8_192  # for networks that are slower
EXTRA_GOALS = {("dropout", 8): 1.3, ("dropout", 32): 1.3, ("dropout", 128): 1.3, ("l2", 8): 1.5, ("l2", 32): 1.25}


def main(data: str = "mnist", rounds: str = "7", *networks: str) -> None:
    """Print the table of both comparisons, or of networks."""
    if networks:
        _compare_networks(data, int(rounds), networks)
        return
    ours, stock = (_Process(kind, data) for kind in ("ours", "fit"))
    print(f"data {data}, 784-128-10, Adam; one core; medians of n = {rounds} epochs, with the range\n")
    print(f"{'batch':>5}  {'compiled epoch (s)':>22}  {'model.fit (s)':>22}  {'ratio':>18}  goal")
    for batch in BATCHES:
        pairs = [(ours.epoch(batch), stock.epoch(batch)) for _ in range(int(rounds) + 1)][1:]
        ratios = [slow / fast for fast, slow in pairs]
        left, right = ([pair[side] for pair in pairs] for side in (0, 1))
        print(f"{batch:>5}  {_spread(left):>22}  {_spread(right):>22}  {_spread(ratios, 1):>18}  {GOALS[batch]}")
    print(f"\n{'batch':>5}  {'with':<8}  {'plain (s)':>22}  {'with (s)':>22}  {'ratio':>18}  goal")
    for batch in BATCHES:
        for name, settings in EXTRAS.items():
            pairs = [(ours.epoch(batch), ours.epoch(batch, **settings)) for _ in range(int(rounds) + 1)][1:]
            ratios = [extra / plain for plain, extra in pairs]
            left, right = ([pair[side] for pair in pairs] for side in (0, 1))
            goal = EXTRA_GOALS.get((name, batch), "–")
            print(f"{batch:>5}  {name:<8}  {_spread(left):>22}  {_spread(right):>22}  {_spread(ratios):>18}  {goal}")


def _compare_networks(data: str, rounds: int, networks: tuple[str, ...]) -> None:
    width = max(map(len, networks))
    print(f"data {data}, {FEW_ROWS:,} rows; one core; medians of n = {rounds} epochs, with the range\n")
    print(f"{'network':<{width}}  {'batch':>5}  {'compiled epoch (s)':>20}  {'model.fit (s)':>20}  {'ratio':>16}")
    for name in networks:
        ours, stock = (_Process(kind, data, str(FEW_ROWS)) for kind in ("ours", "fit"))
        for batch in (32, 128):
            pairs = [(ours.epoch(batch, network=name), stock.epoch(batch, network=name)) for _ in range(rounds + 1)][1:]
            left, right = ([pair[side] for pair in pairs] for side in (0, 1))
            ratio = _spread([slow / fast for fast, slow in pairs], 1)
            print(f"{name:<{width}}  {batch:>5}  {_spread(left):>20}  {_spread(right):>20}  {ratio:>16}", flush=True)
        ours.end()
        stock.end()


def _spread(values: list[float], digits: int = 2) -> str:
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


class _Process:
    """Runs a process that trains one epoch on request and answers with the seconds that it took."""

    def __init__(self, kind: str, data: str, rows: str = "all"):
        command = [sys.executable, "-m", "benchmarks.epoch", "--serve", kind, data, rows]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self) -> None:
        self._process.communicate()

    def epoch(self, batch: int, **settings: object) -> float:
        print(json.dumps({"batch_size": batch, **settings}), file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())


def _serve(kind: str, data: str, rows: str) -> None:
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    from study.data.dataset import load_dataset
    from study.training import loop, network
    from study.training.config import TrialConfig
    from study.training.networks import own_file

    dataset = load_dataset(data)
    if rows != "all":
        dataset = replace(dataset, train=dataset.train.take(slice(int(rows))))
    models = {}
    for line in sys.stdin:
        settings = json.loads(line)
        named = {"network": own_file.named(settings["network"])} if "network" in settings else {}
        config = TrialConfig.parse({**settings, **named, "epochs": 1})
        if kind == "ours":
            seconds = loop.train(config, dataset).train_seconds
        else:
            if config not in models:
                model = models[config] = network.build(config, network.Rows.of(dataset))
                model.compile(network.optimizer(config), "sparse_categorical_crossentropy", metrics=["accuracy"])
            clock = time.perf_counter()
            models[config].fit(
                dataset.train.inputs,
                dataset.train.labels,
                batch_size=config.training.batch_size,
                verbose=0,
                validation_data=(dataset.validation.inputs, dataset.validation.labels),
            )
            seconds = time.perf_counter() - clock
        print(seconds, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        _serve(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
