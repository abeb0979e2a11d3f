"""Writes a study's results where the MLflow UI shows them: into the metrics and tags of its run and its arms' runs."""

from study.analysis.ablation_results import AblationResults
from study.analysis.run_summaries import StudySummary, summarize_ablation, summarize_arms, summarize_search
from study.analysis.search_results import SearchResults
from study.tracking import arm_runs, records, shared_views, store, tags
from study.tracking.results import write_results


def log_ablation(study: AblationResults) -> None:
    """Write an ablation's figures and verdicts into its run, and those of each arm into the arm's, which ends."""
    _log(study.client, study.record.run_id, summarize_ablation(study), has_arms=True)
    arm_runs.write_arms(study.client, study.record.run_id, summarize_arms(study))


def log_search(study: SearchResults) -> None:
    """Write what a search has found into its run."""
    _log(study.client, study.record.run_id, summarize_search(study), has_arms=False)


def _log(client: store.MlflowClient, run_id: str, summary: StudySummary, *, has_arms: bool) -> None:
    record = records.read_run(client, run_id)  # anew, so that what is there is not written twice
    write_results(client, record, summary.metrics, summary.tags, replaces=tags.RESULTS)
    shared_views.store_views(client, record, has_arms=has_arms)
