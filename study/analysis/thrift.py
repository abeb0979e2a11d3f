"""Finds the cheapest configuration that is hardly worse than the best: who enters a race for it, and who wins."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from study.analysis import selection
from study.analysis.ablation_results import ACCURACY, AblationResults
from study.analysis.selection import Candidate, Decision
from study.design.costs import COSTS, PARAMETERS


@dataclass(frozen=True)
class Thrift:
    """The wish for the lowest `cost`, a metric of the trials, `within` so many points of the best accuracy."""

    within: float
    cost: str = PARAMETERS

    def entrants(self, ranked: Sequence[Candidate], top: int) -> list[Candidate]:
        """Return the best of the `ranked` candidates, and the cheapest of those within reach of it: `top` in total."""
        if not ranked:
            return []
        best, *others = ranked
        near = [one for one in others if one.cost is not None and _mean(one) >= _mean(best) - self.within]
        cheapest = sorted(near, key=lambda one: (one.cost, -_mean(one)))[: top - 1]
        return [best, *(one for one in others if one in cheapest)]

    def decide(self, study: AblationResults, champion: str | None, entrants: Sequence[Candidate]) -> Decision:
        """Return the cheapest arm of a race whose mean is within reach of the best's, on the seeds that both have.

        Raises PromotionError as `selection.decide` does.
        """
        best = selection.decide(study, champion)
        costs = {one.name: one.cost for one in entrants if one.cost is not None}
        near = [
            arm.name
            for arm in study.arms
            if arm.name in costs and arm.trials and arm.name not in study.unstable
            and self._is_near(study, arm.name, best.winner)
        ]  # fmt: skip
        cheapest = min(near, key=lambda name: (costs[name], name != best.winner), default=best.winner)
        if cheapest == best.winner:
            return best
        value = next(arm for arm in study.arms if arm.name == cheapest).values[ACCURACY.metric]
        trials = study.finished(cheapest).values()
        assert value is not None  # it has trials
        against = f", against {costs[best.winner]:,.6g}" if best.winner in costs else ""
        return replace(
            best,
            winner=cheapest,
            second=best.winner,
            lead=selection.lead_of(study, cheapest, best.winner),
            accuracy=value,
            run_id=max(trials, key=lambda trial: trial.metrics[ACCURACY.metric]).run_id,
            over_champion=selection.over_champion_of(study, cheapest, champion),
            chosen_for=f"{COSTS[self.cost]} {costs[cheapest]:,.6g}{against}: the least within {self.within:g} points",
        )

    def _is_near(self, study: AblationResults, arm: str, best: str) -> bool:
        if arm == best:
            return True
        differences = study.differences(ACCURACY, arm, best)
        return len(differences) > 0 and float(differences.mean()) >= -self.within


def _mean(candidate: Candidate) -> float:
    return -float("inf") if candidate.accuracy is None else candidate.accuracy.mean
