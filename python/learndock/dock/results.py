"""What a search returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Hit", "Mixture", "SearchResult"]


@dataclass(frozen=True, slots=True)
class Hit:
    """One learnware, as near as it is.

    Attributes
    ----------
    id : str
    mmd2 : float
        Squared MMD to the user, in float64 from the dock's float32 points.
    similarity : float
        <P, Q> / (||P|| ||Q||), the cosine of the two embeddings.
    score : float or None
        The reference's score, relative to all that the search saw; None where it did not look at all.
    """

    id: str
    mmd2: float
    similarity: float
    score: float | None


@dataclass(frozen=True, slots=True)
class Mixture:
    """Learnwares that together come nearer to the user, heaviest first.

    Attributes
    ----------
    ids : tuple of str
    weights : tuple of float
        Sum 1.
    mmd2 : float
        Squared MMD of the mixture, so weighted, to the user.
    """

    ids: tuple[str, ...]
    weights: tuple[float, ...]
    mmd2: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a dock found for one user.

    Attributes
    ----------
    singles : tuple of Hit
        At most k, nearest first, ties by id.
    mixture : Mixture or None
        None where none was asked for or fewer than two learnwares help.
    certified : bool
        Whether singles and mixture are proven to be the true ones of the dock.
    method : str
        How they were found: "exact".
    work : mapping
        Counts (`scanned` specifications, `evaluated` ones in float64) and seconds per stage.
    skipped : int
        Specifications left out for their type, input shape or gamma.
    """

    singles: tuple[Hit, ...]
    mixture: Mixture | None
    certified: bool
    method: str
    work: Mapping[str, float]
    skipped: int

    def __repr__(self) -> str:
        lines = [f"SearchResult({len(self.singles)} singles, method {self.method!r}, certified {self.certified})"]
        lines += [f"  {hit.id}  mmd2 {hit.mmd2:.6g}  similarity {hit.similarity:.4f}" for hit in self.singles]
        if self.mixture is not None:
            parts = ", ".join(
                f"{weight:.3f} {id}" for id, weight in zip(self.mixture.ids, self.mixture.weights, strict=True)
            )
            lines.append(f"  mixture of {len(self.mixture.ids)}: mmd2 {self.mixture.mmd2:.6g} ({parts})")
        if self.skipped:
            lines.append(f"  {self.skipped} specifications of another type, shape or gamma left out")
        return "\n".join(lines)
