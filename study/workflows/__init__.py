"""Has one module for each command: an ablation, a search, a promotion, a training, a prediction, joining a study.

`prepare` turns options into an ablation or a search, `notebook` has the functions for notebooks, and `common` has what
all workflows share. The package is the top of the library and may import everything below `entrypoints`.
"""
