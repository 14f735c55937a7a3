"""What the search is for: users end up with better predictions than by chance or by the nearest model alone."""

from __future__ import annotations

import pytest

from learndock.demo import digits, run


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_default_mixture_beats_a_random_learnware_and_top_1_on_digits(seed):
    (result,) = run(tasks=[digits(developers=6, users=20, seed=seed)], seed=seed).tasks
    assert result.users == 20
    mixture = result.mean("mixture")
    assert mixture > result.mean("random")
    assert mixture > result.mean("mean")
    assert mixture > result.mean("top_1")
