"""The command line. Nothing of it, typer and rich included, is loaded before `main` runs."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command `learndock` with the arguments of this process."""
    from learndock.cli.app import app

    app()
