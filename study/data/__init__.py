"""Datasets: MNIST, the built-in ones and files of your own, and the profile of a dataset.

May import `base`.
"""
