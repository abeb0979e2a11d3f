"""A trained network put to use: pictures prepared, answers, the novelty score, serving and the playground.

May import `analysis` and what is below it, but not `reports`.
"""
