"""`python -m learndock.cli` is the command `learndock`."""

from __future__ import annotations

from learndock.cli import main

if __name__ == "__main__":
    main()
