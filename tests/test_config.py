"""What an installation says of itself."""

import pytest

import learndock
from learndock.config import config
from learndock.errors import InvalidArgument


@pytest.fixture
def default_threads():
    yield
    learndock.set_threads(None)


def test_show_config_names_version_compiler_instruction_set_threads_and_optional_packages(capsys):
    learndock.show_config()
    shown = capsys.readouterr().out
    for label in ("version: ", "compiler: ", "instruction set: ", "threads: ", "optional packages: torch "):
        assert label in shown
    assert learndock.__version__ in shown


def test_set_threads_is_what_config_shows(default_threads):
    learndock.set_threads(3)
    assert config()["threads"] == 3
    learndock.set_threads(None)
    assert config()["threads"] >= 1


@pytest.mark.parametrize("count", [0, -1, 1.5, "two", True])
def test_set_threads_refuses_what_is_no_positive_integer(count, default_threads):
    with pytest.raises(InvalidArgument, match="count"):
        learndock.set_threads(count)
