"""The project's entry points: short programs that wire click's options to the study library, and nothing else."""
