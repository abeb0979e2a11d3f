"""How trials get run: the queue and its storage, sampling and pruning, workers, and recovery from their deaths.

May import `design`, `training`, `tracking`, `data`, `base`, and the plots of `reports`.
"""
