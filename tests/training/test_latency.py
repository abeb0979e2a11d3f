"""The time that a network takes for one row, before it is trained."""

import numpy as np

from study.training import latency, network
from study.training.config import TrialConfig
from study.training.network import Rows


def test_a_larger_network_takes_longer_and_the_time_is_that_of_one_row():
    rows = np.zeros((50, 8, 8), np.uint8)

    def milliseconds(hidden: str, rows: np.ndarray = rows) -> float:
        model = network.build(TrialConfig.parse({"hidden": hidden}), Rows((8, 8), 10))
        return latency.milliseconds(model, rows)

    small, large = milliseconds("8"), milliseconds("3000-3000")
    assert 0 < 3 * small < large
    assert milliseconds("3000-3000", rows[:1]) < 3 * large
