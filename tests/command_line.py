"""The command line as a test runs it: within this process."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from learndock.cli.app import app


def learndock(*arguments):
    # A console as wide as a table needs, and without the colours that a CI's environment may ask for.
    environment = {"COLUMNS": "200", "NO_COLOR": "1", "FORCE_COLOR": None, "GITHUB_ACTIONS": None}
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def json_of(*arguments):
    result = learndock(*arguments, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def error_of(*arguments, code=1):
    """The one line on stderr, after making sure that there is nothing else."""
    result = learndock(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")
