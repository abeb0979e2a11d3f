"""One module a command: an ablation, a search, a promotion, a training, a prediction, joining a study.

`prepare` turns options into an ablation or a search, `notebook` is the Python door, `common` has what all share. The
top of the library: may import everything below `entrypoints`.
"""
