"""Results read back from MLflow, and what they allow to be said: statistics, verdicts, flips, selection. No figures.

May import `design` and what is below it.
"""
