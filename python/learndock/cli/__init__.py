"""The command line. Nothing of it, typer and rich included, is loaded before `main` runs."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command `learndock` with the arguments of this process."""
    import io
    import sys

    from learndock.cli.app import app

    # Half of what is printed comes from others; what this terminal has no letter for must not end a verb.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    app()
