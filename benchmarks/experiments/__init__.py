"""Experiments: one question each, answered by `python -m benchmarks.experiments.NAME`."""
