"""What each command does once its options are read; imported only then, so that `--help` is there at once."""
