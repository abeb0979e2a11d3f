"""The only package that uses MLflow: it writes runs, reads them back as records, and keeps the model registry.

May import `data` and `base`.
"""
