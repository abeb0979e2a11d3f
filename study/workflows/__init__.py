"""One module a command: an ablation, a search, a promotion, a training, a prediction, joining a study.

The top of the library: may import everything below `entrypoints`.
"""
