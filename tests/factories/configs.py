"""Configs for the tests."""

# For each field of an mlp a value that is not the default, as a person would type it.
OTHER = {
    "data": "digits", "target": "species", "size": "28x32", "validation": "0.2", "fold": "3", "pixels": "raw",
    "hidden": "20-7-5", "activation": "tanh", "batch_norm": "before", "dropout": "0.1", "initializer": "he_normal",
    "optimizer": "sgd", "learning_rate": "1e-05", "momentum": "0.5", "weight_decay": "0.01", "l2": "0.0001",
    "l2_on": "all", "batch_size": "8", "class_weight": "balanced",
    "epochs": "2", "patience": "3", "min_delta": "0.002", "validate_every": "50",
    "patience_steps": "100", "seed": "7",
}  # fmt: skip
