"""Measurements of speed, each printed with its n and spread; nothing here is imported by the project."""
