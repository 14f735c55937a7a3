"""Models tried on each other's sketches: what they lose there, and what follows for a user without labels."""

from __future__ import annotations

from learndock.peers.evidence import Evidence
from learndock.peers.losses import point_losses, reviewable, truth_of
from learndock.peers.record import PeerRecord
from learndock.peers.reliability import Reliability, reliability
from learndock.peers.weights import NEAREST, capped_shares, distance_weights

__all__ = [
    "NEAREST",
    "Evidence",
    "PeerRecord",
    "Reliability",
    "capped_shares",
    "distance_weights",
    "point_losses",
    "reliability",
    "reviewable",
    "truth_of",
]
