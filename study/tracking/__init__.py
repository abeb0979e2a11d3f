"""The only door to MLflow: runs that are written, records that are read back, the model registry.

May import `data` and `base`.
"""
