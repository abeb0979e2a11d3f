"""Stores of earlier versions, kept as files: what this version must still open.

    python -m tests.stores.make DATE

makes one of the version that is checked out, named after its day: an ablation and a search of the digits, two epochs a
trial.
"""
