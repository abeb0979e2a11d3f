"""Measures speed and search quality, and prints each result with its n and spread; the project imports none of it."""
