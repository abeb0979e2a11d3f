"""Networks as functions: those of the project, and files of yours. May import training.fields, data and base.

Nothing here imports Keras before a network is built; a file of yours may.
"""
