"""Puts trained networks to use: prepares pictures, reads and scores them, serves models, and runs the playground.

May import `analysis` and what is below it, but not `reports`.
"""
