"""Datasets by name, from files and folders of your own; how they are split and encoded; the profile of a dataset.

May import `base`.
"""
