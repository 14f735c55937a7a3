"""Stands in for the package of this name in a model's process, where that package is not installed.

Models import their base class from it. Only the interface is here.
"""
