"""Measures how long a network takes for one row on one core; it need not be trained."""

import time

import numpy as np

from study.base.backend import keras, tf

WARM_UP = 10  # calls, of which the first builds the graph
MOST_CALLS, FEWEST_CALLS, SECONDS = 300, 5, 0.3  # that are timed: until their number or the time is spent
QUANTILE = 0.1  # of the calls: what else the machine does makes calls slower, and none faster


def milliseconds(model: keras.Model, rows: np.ndarray) -> float:
    """Return how many milliseconds the model takes for the first of these rows, as a TensorFlow graph."""
    call, row = tf.function(lambda row: model(row, training=False)), tf.constant(rows[:1])
    for _ in range(WARM_UP):
        call(row).numpy()
    took: list[float] = []
    began = time.perf_counter()
    while len(took) < FEWEST_CALLS or (len(took) < MOST_CALLS and time.perf_counter() - began < SECONDS):
        start = time.perf_counter()
        call(row).numpy()
        took.append(time.perf_counter() - start)
    return 1000 * float(np.quantile(took, QUANTILE))
