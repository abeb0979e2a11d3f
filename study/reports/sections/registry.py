"""The sections that belong to some tasks only, by the names that a catalogue file gives them."""

from collections.abc import Callable, Mapping

from study.analysis.ablation_results import AblationResults
from study.base.errors import TrackingError
from study.reports.document import Document
from study.reports.markdown import plain
from study.reports.sections import generalization, grids, steps, weights

# The names are those of FIGURES in study.design.ablation.
SECTIONS: Mapping[str, Callable[[Document, AblationResults], None]] = {
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


def add(name: str, document: Document, study: AblationResults) -> None:
    """Add the section of this name to the document, if any trial is complete."""
    if any(arm.trials for arm in study.arms):
        try:
            SECTIONS[name](document, study)
        except TrackingError as failure:  # of one trial's files; the rest of the report does not need them
            document.text(f"This section is left out. {plain(str(failure))}")
