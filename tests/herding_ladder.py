"""Herding in every precision of its bounds against plain float64; run in a process for each instruction set."""

from __future__ import annotations

import numpy as np

import reference
from learndock import _core

PRECISIONS = tuple(_core.HerdingPrecision)

# Around the width of a vector, of a tile (64) and of a block (1,024).
DIMS = (1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 97)
COUNTS = (1, 15, 63, 64, 65, 255, 257, 1023, 1025, 2100)


def herd(candidates, mean, n, gamma, *, replace=True, precision=_core.HerdingPrecision.automatic, threads=1):
    """`kernels.herd` with a precision of the bounds, which is nobody's business but the tests'."""
    x, mu = np.ascontiguousarray(candidates, dtype=np.float64), np.asarray(mean, dtype=np.float64)
    return _core.herd(x, mu, n, gamma, replace, precision, threads).tolist()


def climb():
    """Random candidates, so that no two values are within float64's rounding of each other."""
    for step, (dim, count) in enumerate((dim, count) for dim in DIMS for count in COUNTS):
        rng = np.random.default_rng([dim, count])
        x = rng.normal(size=(count, dim)) + (1e4 if step % 5 == 0 else 0)
        gamma = (0.02, 0.3, 4.0)[step % 3] / dim
        mean = reference.kernel_mean(rng.normal(size=(40, dim)) + x.mean(axis=0) + 0.3, x, gamma)
        replace = step % 2 == 0
        n = 40 if replace else min(40, count)
        expected = reference.herd(x, mean, n, gamma, replace)
        for precision in PRECISIONS:
            chosen = herd(x, mean, n, gamma, replace=replace, precision=precision)
            assert chosen == expected, (dim, count, precision, chosen, expected)
