"""Attacks that once got through, and a sample of those that never did; SECURITY.md says what is trusted."""

# --- requests to the served model and the playground ------------------------------------------------


# --- the queue's database ---------------------------------------------------------------------------


# --- artifacts and the MLflow store -----------------------------------------------------------------


# --- files that a person names ----------------------------------------------------------------------


# --- text that reports, terminals and MLflow show ---------------------------------------------------


# --- passwords --------------------------------------------------------------------------------------
