"""Small spaces with sketches, in memory: a search of them is that of a dock, without files and without a catalog."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

import learndock as ld
from learndock import kernels
from learndock.dock import certified, search, sketch_training, sketching, writer
from learndock.dock.mixtures import Wish
from learndock.dock.progress import unheard
from learndock.dock.search import Asked, search_space
from learndock.dock.segments import Segment
from learndock.dock.sketch_model import SketchFacts
from learndock.dock.sketch_training import train_model
from learndock.dock.sketches import make_sketches
from learndock.dock.store import SpaceView

# What makes a space of a few specifications go the way of one of millions.
SMALL = (
    (search, "_FEW", 0),
    (sketching, "_FEWEST", 1),
    (writer, "SKETCHED_AT_ONCE", 1),
    (certified, "_PROMISING", 12),
    (certified, "_FIRST", 2),
    (certified, "_BLOCK", 4),
    (certified, "_MANY", 3),
    (sketch_training, "_LANDMARKS", (8, 16, 32)),
    (sketch_training, "_PREFIXES", (2, 4, 8, 16)),
    (sketch_training, "_SAMPLE", 64),
    (sketch_training, "_QUERIES", 8),
)


@contextlib.contextmanager
def small_numbers(*, scans=False):
    """Small spaces are searched by bounds; where they are weak, too, unless `scans`."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in SMALL:
            patch.setattr(module, name, value)
        if not scans:
            patch.setattr(certified, "_SCANNED_SHARE", 1.0)
            patch.setattr(SketchFacts, "pays", property(lambda self: True))
        yield patch


def segment(points, weights, ids, gamma):
    packed = kernels.pack([np.float32(z) for z in points], [np.float32(beta) for beta in weights])
    return Segment(np.array(ids, dtype=np.int64), packed, packed.self_inner(gamma=gamma))


def sketched_view(parts, gamma, *, sketched, waiting=None, dead=None, unusable=(), seed=0):
    """A view of segments (points, weights, ids), of which the first so many have sketches."""
    named = {f"s{i}": segment(*part, gamma) for i, part in enumerate(parts)}
    bare = SpaceView(
        1,
        named,
        None if waiting is None else segment(*waiting, gamma),
        {} if dead is None else {name: np.array(ids, dtype=np.int64) for name, ids in dead.items()},
        np.array(sorted(unusable), dtype=np.int64),
    )
    model = train_model(bare, gamma, most_coordinates=16, seed=seed)
    return replace(
        bare, model=model, sketches={name: make_sketches(model, named[name]) for name in list(named)[:sketched]}
    )


def searched(
    view, users, method, *, k=5, rule="distance", mixture=3, budget=6, allowed=None, any_status=False, threads=1
):
    """What a dock answers."""
    allowed = None if allowed is None else np.array(sorted(allowed), dtype=np.int64)
    asked = Asked(Wish(k, rule, mixture), method, budget, allowed, any_status, 0, threads, None, unheard)
    return search_space(view, users, asked)


def answer(result):
    """Ids and numbers, to the last bit."""
    mixture = result.mixture
    return (
        [(hit.id, hit.mmd2, hit.similarity) for hit in result.singles],
        None if mixture is None else (mixture.ids, mixture.weights, mixture.mmd2),
    )


def assert_certified_is_exact(certified_results, exact_results):
    for found, exact in zip(certified_results, exact_results, strict=True):
        assert answer(found) == answer(exact)
        assert found.certified
        assert exact.certified
        assert exact.method == "exact"
        assert found.proven_ranks == len(found.singles)
        assert found.gap == 0
        if found.method == "certified":
            assert all(hit.score is None for hit in found.singles)
        else:
            assert found.method == "exact"
            assert [hit.score for hit in found.singles] == [hit.score for hit in exact.singles]


def assert_approximate_is_true(approximate_results, exact_results):
    """What is said to be proven is so, and the gap is no smaller than it is."""
    for found, exact in zip(approximate_results, exact_results, strict=True):
        assert len(found.singles) == len(exact.singles)
        ranks = found.proven_ranks
        assert answer(found)[0][:ranks] == answer(exact)[0][:ranks]
        assert ranks == len(found.singles) or not found.certified
        if found.singles:
            assert exact.singles[-1].mmd2 >= found.singles[-1].mmd2 - found.gap
        if found.certified:
            assert answer(found) == answer(exact)


def user(points, weights, gamma):
    return ld.RKMETableSpecification(points, weights, gamma=gamma)
