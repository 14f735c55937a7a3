"""What the README tells people to type works as printed."""

from __future__ import annotations

import contextlib
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

    random = np.random.default_rng(0)

    def patients(centre, count):
        """One rule for all, in the first two columns; where the other six lie is the site's own."""
        X = random.normal(size=(count, 8)) + centre * np.array([0, 0, 1, 1, 1, 1, 1, 1])
        return X, (X[:, 0] + X[:, 1] > 0).astype(int)

    centres = {"north": 0.0, "south": 2.0, "west": -2.0}
    sites = {}
    for site, centre in centres.items():
        X_train, y_train = patients(centre, 300)
        sites[site] = (X_train, LogisticRegression().fit(X_train, y_train))
    # The user's patients come half from the one and half from the other: no site's alone are like them.
    halves = [patients(centres[site], 100) for site in ("north", "south")]
    X, truth = np.vstack([half[0] for half in halves]), np.concatenate([half[1] for half in halves])

    example = next(text for language, text in blocks if language == "python")
    assert 10 <= len([line for line in example.splitlines() if line]) <= 14
    names = {"sites": sites, "X": X}
    monkeypatch.chdir(tmp_path)
    exec(compile(example, str(README), "exec"), names)
    with names["dock"] as dock, contextlib.ExitStack() as stack:
        for learnware in names["reuser"].learnwares:
            stack.enter_context(learnware)
        mixture = names["hits"].mixture
        by_id = {entry.id: entry.name for entry in dock.list()}
        assert len(by_id) == 3
        used = [next(site for site in sites if site in by_id[identifier]) for identifier in mixture.ids]
        assert {"north", "south"} <= set(used)
        shares = zip(mixture.weights, used, strict=True)
        probabilities = sum(weight * sites[site][1].predict_proba(X) for weight, site in shares)
        assert names["labels"].tolist() == probabilities.argmax(axis=1).tolist()
        assert np.mean(names["labels"] == truth) > 0.9
