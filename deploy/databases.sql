-- The image makes the database `study`, for Optuna. MLflow needs one of its own: both keep a table alembic_version.
CREATE DATABASE mlflow;
