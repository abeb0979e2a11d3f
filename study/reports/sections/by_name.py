"""The figures and tables of a report that belong to some tasks only: each adds its own to the document.

FIGURES of study.design.ablation names them all; a catalogue file says which of them belong to its task.
"""

from collections.abc import Callable, Mapping

from study.analysis.ablation_results import Study
from study.reports.document import Document
from study.reports.sections import generalization, grids, steps, weights

EXTRAS: Mapping[str, Callable[[Document, Study], None]] = {
    "gap": generalization.gap,
    "size": generalization.size,
    "stopping": generalization.stopping,
    "norms": weights.norms,
    "units": weights.units,
    "first_layer": weights.first_layer,
    "distributions": weights.distributions,
    "gradient_noise": steps.gradient_noise,
    "loss_by_step": steps.loss_by_step,
    "val_loss_by_step": steps.val_loss_by_step,
    "heat_maps": grids.heat_maps,
    "interaction": grids.interaction,
}


def add(name: str, document: Document, study: Study) -> None:
    """Add what belongs to one of FIGURES to the document, if there are completed trials to draw it from."""
    if any(arm.trials for arm in study.arms):
        EXTRAS[name](document, study)
