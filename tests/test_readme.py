"""What the README tells people to type works as printed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).parent.parent / "README.md"
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def blocks():
    """Language and text of each fenced block."""
    if not README.is_file():
        pytest.skip(f"{README} is not there: the tests run from a copy of their own")
    return _FENCED.findall(README.read_text(encoding="utf-8"))


def test_the_first_two_blocks_install_and_show_in_a_line_each(blocks):
    assert blocks[:2] == [
        ("bash", "pip install . && learndock demo\n"),
        ("bash", "pip install '.[test]' && pytest\n"),
    ]


def test_the_example_runs_as_printed_and_its_labels_are_right(blocks, tmp_path, monkeypatch):
    from sklearn.linear_model import LogisticRegression

    # Each county has patients of its own, and its own rule; the user's come half from one and half from another.
    random = np.random.default_rng(0)
    centres = {"north": np.zeros(8), "south": np.full(8, 4.0), "west": np.full(8, -4.0)}
    directions = {"north": 0, "south": 1, "west": 2}

    def patients(site, count):
        X = centres[site] + random.normal(size=(count, 8))
        return X, (X[:, directions[site]] > centres[site][directions[site]]).astype(int)

    sites = {}
    for site in centres:
        X_train, y_train = patients(site, 300)
        sites[site] = (X_train, LogisticRegression(C=100.0).fit(X_train, y_train))
    (X_north, y_north), (X_south, y_south) = patients("north", 100), patients("south", 100)
    names = {"sites": sites, "X": np.vstack([X_north, X_south])}

    example = next(text for language, text in blocks if language == "python")
    assert 10 <= len(example.splitlines()) <= 14
    monkeypatch.chdir(tmp_path)
    exec(compile(example, str(README), "exec"), names)
    try:
        assert len(names["dock"]) == 3
        assert len(names["hits"].mixture.ids) == 2
        labels = names["labels"]
        assert labels.shape == (200,)
        # The two rules disagree on half of all patients, so that one model alone, or a vote of the two that heeds no
        # probabilities, stays near 0.75.
        assert np.mean(labels == np.concatenate([y_north, y_south])) > 0.7
    finally:
        for learnware in names["reuser"].learnwares:
            learnware.close()
        names["dock"].close()
