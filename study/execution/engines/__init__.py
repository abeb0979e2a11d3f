"""Engines start, list and end worker programs on machines: this one, others over SSH, a cluster's.

One module an engine, all with the interface of `engine`; `launches` remembers in the study what was launched. May
import what `study.execution` may. Nothing here knows what a worker does: the queue stays Optuna's storage.
"""
