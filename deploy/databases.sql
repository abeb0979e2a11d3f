-- Two databases, because MLflow and Optuna both keep a table alembic_version, and for each a role that owns nothing else.
-- Whoever has the workers' password can't reach MLflow's tables. The superuser has no password any more: it logs in
-- inside the container only.
\getenv study STUDY_PASSWORD
\getenv mlflow MLFLOW_PASSWORD
CREATE ROLE study LOGIN PASSWORD :'study';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';
CREATE DATABASE study OWNER study;
CREATE DATABASE mlflow OWNER mlflow;
REVOKE CONNECT ON DATABASE study, mlflow, postgres FROM PUBLIC;
ALTER ROLE postgres PASSWORD NULL;
