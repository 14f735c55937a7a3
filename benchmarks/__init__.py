"""Benchmarks of the kernels, for asv and for `python -m benchmarks.report`; no part of the package."""
