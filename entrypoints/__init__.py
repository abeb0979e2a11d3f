"""The project's entry points: short programs that wire click's options to the study library, and nothing else."""

import study  # noqa: F401  before all else: it makes the start of a program quicker
