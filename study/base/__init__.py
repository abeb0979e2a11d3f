"""What every other package rests on: errors, processes, start-up, YAML, and the only import of TensorFlow.

Imports nothing of this project.
"""
