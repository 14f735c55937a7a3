"""Jobs of the reference package, for baselines.reference: `python -m benchmarks.reference_package JOB GIVEN MADE`."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np

from .generators import Array


def _specification(points: Array, weights: Array, gamma: float) -> Any:
    import torch
    from learnware.specification import RKMETableSpecification

    made = RKMETableSpecification(gamma=gamma, cuda_idx=-1)
    made.z, made.beta = torch.from_numpy(points).double(), torch.from_numpy(weights).double()
    return made


def fit(X: Array, points: Array, gamma: Array) -> dict[str, Array]:
    """Points and weights for the rows of X, and the seconds of it."""
    from learnware.specification import RKMETableSpecification

    made = RKMETableSpecification(gamma=float(gamma), cuda_idx=-1)
    start = time.perf_counter()
    made.generate_stat_spec_from_data(X, K=int(points))
    seconds = time.perf_counter() - start
    return {"points": made.get_z(), "weights": made.get_beta(), "seconds": np.array(seconds)}


def greedy(z: Array, weights: Array, user_z: Array, user_weights: Array, gamma: Array) -> dict[str, Array]:
    """The best of three searches for a mixture of five among the specifications."""
    from learnware.market.easy.searcher import EasyStatSearcher

    docked = [_specification(*each, float(gamma)) for each in zip(z, weights, strict=True)]
    learnwares = [
        SimpleNamespace(specification=SimpleNamespace(get_stat_spec_by_name=lambda _, each=each: each))
        for each in docked
    ]
    user = _specification(user_z, user_weights, float(gamma))
    searcher = EasyStatSearcher.__new__(EasyStatSearcher)
    searcher.stat_spec_type = "RKMETableSpecification"
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        value, _, _ = searcher._search_by_rkme_spec_mixture_greedy(learnwares, user, 5)
        seconds.append(time.perf_counter() - start)
    return {"mmd2": np.array(float(value)), "seconds": np.array(min(seconds))}


if __name__ == "__main__":
    job, given, made = sys.argv[1:]
    with np.load(given) as arrays:
        jobs: dict[str, Any] = {"fit": fit, "greedy": greedy}
        np.savez(made, **jobs[job](**arrays))
