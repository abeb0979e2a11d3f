"""From a config to a trained network: the network, the loop, early stopping, metrics, the fingerprint.

May import `data` and `base`; neither trains with MLflow nor with Optuna in sight.
"""
