"""Defines the served model, which runs in the server, and logs it."""
