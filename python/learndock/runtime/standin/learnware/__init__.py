"""Stands in for the package of this name in a model's process, where that package is not installed.

Models import their base class from it, and some a function or two of `learnware.utils` and `learnware.logger`. Only
that is here, with the names and the behaviour of version 0.4. It runs under Python 3.8 and later.
"""

__version__ = "0.4.0"
