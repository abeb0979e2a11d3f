"""What a search's networks cost before they are trained: their parameters, and the time that one row takes.

It keeps the search to its limits: a network that breaks one is built and never trained.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from study.data.dataset import Dataset
from study.design.costs import LATENCY_MS
from study.design.search import Search
from study.training.config import TrialConfig
from study.training.networks.network import find

if TYPE_CHECKING:  # imports TensorFlow
    from study.base.backend import keras

Allows = Callable[[Mapping[str, object]], bool]  # settings of a point


class NetworkCosts:
    """Counts and times a search's networks, those of a structure once; without a limit all are within it."""

    def __init__(self, search: Search | None, dataset: Dataset):
        self._search, self._dataset = search, dataset
        self._counts: dict[object, int] = {}
        self._latencies: dict[object, float] = {}

    def excess(self, config: TrialConfig) -> str | None:
        """Return why a config is not to be trained, or None if it is within the limits."""
        if self._search is None:
            return None
        limit = self._search.limit
        if limit.parameters is not None and (parameters := self.parameters(config)) >= limit.parameters:
            return f"{parameters:,} parameters"
        if limit.latency_ms is not None and (latency := self.latency_ms(config)) >= limit.latency_ms:
            return f"{latency:.3g} ms a row"
        return None

    def allows(self, settings: Mapping[str, object]) -> bool:
        """Return whether the search may train these settings around its baseline."""
        return self._search is None or not self.excess(self._search.baseline.replace(settings))

    def measured(self, config: TrialConfig) -> dict[str, float]:
        """Return what the search wants to know of a network beside what every trial records, by the metric's name."""
        if self._search is None or not (self._search.also == LATENCY_MS or self._search.limit.latency_ms is not None):
            return {}
        return {LATENCY_MS: self.latency_ms(config)}

    def parameters(self, config: TrialConfig) -> int:
        """Return how many numbers the config's network learns."""
        from study.training import diagnostics  # imports TensorFlow

        if (structure := _structure(config)) not in self._counts:
            self._counts[structure] = diagnostics.parameters(self._built(config))
        return self._counts[structure]

    def latency_ms(self, config: TrialConfig) -> float:
        """Return how many milliseconds the config's network takes for a row on one core, measured untrained."""
        from study.training import latency  # imports TensorFlow

        if (structure := _structure(config)) not in self._latencies:
            self._latencies[structure] = latency.milliseconds(self._built(config), self._dataset.train.inputs)
        return self._latencies[structure]

    def _built(self, config: TrialConfig) -> "keras.Model":
        from study.training import network  # imports TensorFlow

        return network.build(config, network.Rows.of(self._dataset))


def _structure(config: TrialConfig) -> tuple[object, ...]:
    """Return what decides how much work a network is."""
    part = config.network
    own = find(part.name).source is not None
    # The fractions of the project's own networks are rates; somebody's may be a factor of the width.
    return part.name, *((name, value) for name, value in part.settings if own or not isinstance(value, float))
