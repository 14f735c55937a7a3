"""Runs the supervisor: `python -I -S path/to/guard SETTINGS`."""

from __future__ import annotations

import importlib
import os.path
import sys

if __name__ == "__main__":
    # This folder, as a package. Last: the files beside it must not hide modules of the standard library.
    above, package = os.path.split(os.path.dirname(os.path.abspath(__file__)))
    sys.path.append(above)
    importlib.import_module(f"{package}.supervisor").main(sys.argv[1])
