"""Keeps a search to networks below a number of parameters: each is built and counted before anything is trained."""

from collections.abc import Callable, Mapping

from study.data.dataset import Dataset
from study.design.search import Search
from study.training.config import TrialConfig
from study.training.networks.network import find

Allows = Callable[[Mapping[str, object]], bool]  # settings of a point


class ParameterLimit:
    """Counts the parameters of a search's networks, those of a structure once; without a limit all are within it."""

    def __init__(self, search: Search | None, dataset: Dataset):
        self._search, self._dataset = search, dataset
        self._counts: dict[object, int] = {}

    def excess(self, config: TrialConfig) -> str | None:
        """Return why a config is not to be trained, or None if it is within the limit."""
        if self._search is None or self._search.limit is None:
            return None
        parameters = self.count(config)
        return f"{parameters:,} parameters" if parameters >= self._search.limit else None

    def allows(self, settings: Mapping[str, object]) -> bool:
        """Return whether the search may train these settings around its baseline."""
        return self._search is None or not self.excess(self._search.baseline.replace(settings))

    def count(self, config: TrialConfig) -> int:
        """Return how many numbers the config's network learns."""
        from study.training import diagnostics, network  # import TensorFlow

        part = config.network
        own = find(part.name).source is not None
        # The fractions of the project's own networks are rates; somebody's may be a factor of the width.
        shape = tuple((name, value) for name, value in part.settings if own or not isinstance(value, float))
        if (part.name, shape) not in self._counts:
            model = network.build(config, network.Rows.of(self._dataset))
            self._counts[part.name, shape] = diagnostics.parameters(model)
        return self._counts[part.name, shape]
