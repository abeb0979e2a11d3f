"""From a config to a trained network: the network, the loop, early stopping, metrics, the fingerprint.

May import `data` and `base`. Nothing here knows of MLflow or Optuna.
"""
