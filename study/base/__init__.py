"""What every other package rests on: errors, processes, files, text, start-up, and the only import of TensorFlow.

Imports nothing of this project.
"""
