"""Controlled ablations and searches of Keras hyperparameters, every trial an MLflow run.

The modules stand on one another and import downwards only: `errors` and `config` at the bottom, then
`data`, `evaluation` and `statistics`, `network` and `training`, `figures` and `tracking`, `trial`,
`workers`, and `ablation` at the top.
"""
