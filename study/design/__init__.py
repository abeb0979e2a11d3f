"""What to run: ablations, search spaces and searches, with the catalogue of those that come with the project.

Runs nothing. May import `training`, `tracking`, `data` and `base`.
"""
