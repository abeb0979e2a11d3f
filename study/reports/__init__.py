"""Results as documents: one module a kind of report.

May import `analysis` and what is below it.
"""
