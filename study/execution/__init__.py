"""Runs trials: the queue and its storage, sampling and pruning, workers, and recovery when a worker dies.

May import `design`, `training`, `tracking`, `data`, `base`, and the plots of `reports`.
"""
