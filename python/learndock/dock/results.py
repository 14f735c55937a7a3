"""What a search returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal

from learndock.dock.entry import Entry, entries_frame
from learndock.dock.presentation import frame, html_table, number
from learndock.peers.reliability import Reliability

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Hit", "Mixture", "SearchResult", "SemanticHit", "SemanticResult"]


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
    fits : bool or None
        Whether the learnware's training data and the user's can be of one distribution, an answer that does not depend
        on what else is in the dock. False: they differ; at most 5 % of all searches say so of any learnware that does
        fit. True: nothing speaks against it.

            MMD <= eps_u + eps_P + sqrt(1/n_u + 1/n_P) (sqrt(1 - ||mu||^2) + sqrt(log(compared / 0.05)))

        with eps^2 = `fit_mmd2` and n = `num_points` of the two specifications (Gretton et al., JMLR 2012, theorem 8,
        for two sizes; Bonferroni over all `SearchResult.compared`). What a learnware says of its own data is believed.
        None where either does not say both: ingested specifications, files of the reference; where all was compared
        under a search gamma, since `fit_mmd2` is of the specification's own; and where it can't be told: rows so few,
        or gamma so large, that data with nothing in common would pass, as the right side squared is at least
        ||u||^2 + ||P||^2, the largest squared MMD of two embeddings of weights >= 0.
    p_value : float or None
        Of `Dock.search_rows`, for a learnware that ships held-out rows: the share of random divisions of its rows and
        the user's that are as far apart as these are. Small values speak against one distribution; of each learnware
        by itself, not corrected for their number. Else None.
    predicted_loss : float or None
        What the model is predicted to lose at the user's, by its losses on the sketches near the user with their
        models' outputs as the truth (see `Dock.peer_review`): squared difference of a regression, in squared units of
        its target, or Brier score of a classification. It ranks models; that the sketches' own models err too is not in
        it. None where the dock has no such review.
    """

    id: str
    mmd2: float
    similarity: float
    score: float | None
    fits: bool | None = None
    p_value: float | None = None
    predicted_loss: float | None = None


def _verdict(hit: Hit) -> str:
    return "" if hit.fits is None else "fits" if hit.fits else "does not fit"


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

    def to_frame(self) -> pd.DataFrame:
        """The members as a DataFrame: columns id and weight.

        Raises
        ------
        MissingDependency
            If pandas is not installed.
        """
        return frame({"id": self.ids, "weight": self.weights})

    def _repr_html_(self) -> str:
        rows = [(id, f"{weight:.3f}") for id, weight in zip(self.ids, self.weights, strict=True)]
        return html_table(f"Mixture, mmd2 {number(self.mmd2)}", ("id", "weight"), rows)


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
        How they were found: "certified" by bounds that prove what is left out, "exact" by a scan of all, which is also
        what a certified search does where bounds are too weak or the dock is small, "approximate" by as many exact
        values as were asked for; "chance" by bounds of which some are not proven.
    work : mapping
        Counts and seconds per stage. Of a scan: `scanned` specifications, `evaluated` ones in float64. Of bounds:
        `bounds`, of sketches alone or of balls of sixteen, `refined` ones with all their coordinates, `evaluated`
        specifications, of them those that have no sketch yet (`unsketched`). `damaged`: specifications of the space
        whose sketches can't be read, so that they are computed or scanned. Of bounds that hold with a chance:
        `audited`, exact values that were compared with their estimates, and `largest_z`, by how many standard
        deviations one of them was off at most.
    skipped : int
        Specifications left out for their type, input shape or gamma.
    compared : int
        Specifications among which the nearest were found: those that were not left out, and that filter and status let
        through.
    proven_ranks : int
        So many of the singles are proven to be the nearest, in this order.
    gap : float
        A specification that was not looked at may be nearer than the last of the singles, squared, by so much at most:
        0 where all are proven. By method "chance", that is what proven bounds alone tell.
    chance : float or None
        By method "chance": delta, the chance that one of the nearest was lost, over the random frequencies that were
        drawn when the dock was sketched. It rests on the central limit theorem and is no proof. None by other methods.
    warnings : tuple of str
        What to know before relying on the result, in plain sentences: that all was compared under another gamma, which
        the dock's owner has set (`Dock.set_search_gamma`), that this gamma does not rank, that the chance was turned
        off because an exact value was farther off its estimate than `chance` allows, or which files of sketches can't
        be read, which is also a Python warning, `errors.SketchWarning`: the result is the same, the search slower.
    reliability : Reliability or None
        Whether the inputs tell which of the models is right, or only labels can; None where the dock has no peer review
        of them.
    """

    singles: tuple[Hit, ...]
    mixture: Mixture | None
    certified: bool
    method: str
    work: Mapping[str, float]
    skipped: int
    compared: int
    proven_ranks: int = 0
    gap: float = 0.0
    chance: float | None = None
    warnings: tuple[str, ...] = ()
    reliability: Reliability | None = None

    def __repr__(self) -> str:
        delta = "" if self.chance is None else f", delta {self.chance:g}"
        lines = [
            f"SearchResult({len(self.singles)} singles, method {self.method!r}, certified {self.certified}{delta})"
        ]
        for hit in self.singles:
            p_value = "" if hit.p_value is None else f"p {hit.p_value:.3g}"
            loss = "" if hit.predicted_loss is None else f"predicted loss {hit.predicted_loss:.3g}"
            shown = (hit.id, f"mmd2 {hit.mmd2:.6g}", f"similarity {hit.similarity:.4f}", _verdict(hit), p_value, loss)
            lines.append("  " + "  ".join(part for part in shown if part))
        if self.mixture is not None:
            parts = ", ".join(
                f"{weight:.3f} {id}" for id, weight in zip(self.mixture.ids, self.mixture.weights, strict=True)
            )
            lines.append(f"  mixture of {len(self.mixture.ids)}: mmd2 {self.mixture.mmd2:.6g} ({parts})")
        if self.skipped:
            lines.append(f"  {self.skipped} specifications of another type, shape or gamma left out")
        lines += [f"  warning: {warning}" for warning in self.warnings]
        if self.reliability is not None:
            lines.append(f"  {'warning: ' if self.reliability.alarm else ''}{self.reliability.message}")
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """The singles as a DataFrame: columns as the attributes of `Hit`, and weight, that in the mixture.

        Members of the mixture that are not among the singles are left out: `mixture.to_frame()` has them all.

        Raises
        ------
        MissingDependency
            If pandas is not installed.
        """
        weights = self._weights()
        return frame(
            {
                "id": [hit.id for hit in self.singles],
                "mmd2": [hit.mmd2 for hit in self.singles],
                "similarity": [hit.similarity for hit in self.singles],
                "score": [hit.score for hit in self.singles],
                "fits": [hit.fits for hit in self.singles],
                "p_value": [hit.p_value for hit in self.singles],
                "predicted_loss": [hit.predicted_loss for hit in self.singles],
                "weight": [weights.get(hit.id, 0.0) for hit in self.singles],
            }
        )

    def _repr_html_(self) -> str:
        weights = self._weights()
        proof = "proven to be the nearest" if self.certified else "not proven"
        if self.chance is not None:
            proof += f", lost with a chance of {self.chance:g}"
        singles = html_table(
            f"{len(self.singles)} nearest ({self.method}, {proof})",
            ("id", "mmd2", "similarity", "score", "fits", "p_value", "predicted loss", "weight"),
            [
                (
                    hit.id,
                    number(hit.mmd2),
                    number(hit.similarity),
                    number(hit.score),
                    _verdict(hit),
                    number(hit.p_value),
                    number(hit.predicted_loss),
                    number(weights.get(hit.id)),
                )
                for hit in self.singles
            ],
        )
        mixture = "" if self.mixture is None else self.mixture._repr_html_()
        said = [*self.warnings, *(() if self.reliability is None else (self.reliability.message,))]
        return singles + mixture + "".join(f"<p>{escape(sentence)}</p>" for sentence in said)

    def _weights(self) -> dict[str, float]:
        mixture = self.mixture
        return {} if mixture is None else dict(zip(mixture.ids, mixture.weights, strict=True))


@dataclass(frozen=True, slots=True)
class SemanticHit:
    """One learnware that a semantic query lets through.

    Attributes
    ----------
    entry : Entry
    score : float or None
        How well it holds the texts asked for, 0 to 100: 100 where it holds them as they are, else rapidfuzz's partial
        ratio, the least of the texts. None where no text was asked for.
    """

    entry: Entry
    score: float | None

    @property
    def id(self) -> str:
        """Of the learnware."""
        return self.entry.id


@dataclass(frozen=True, slots=True)
class SemanticResult:
    """What a dock found by semantic parts alone.

    Attributes
    ----------
    hits : tuple of SemanticHit
        At most k, best first, ties by id.
    total : int
        How many there are.
    kind : {"exact", "similar", "all"}
        Whether they hold the texts asked for as they are, or, since none does, something similar; "all" where no text
        was asked for.
    """

    hits: tuple[SemanticHit, ...]
    total: int
    kind: Literal["exact", "similar", "all"]

    def to_frame(self) -> pd.DataFrame:
        """The hits as a DataFrame: the attributes of `Entry`, and the score.

        Raises
        ------
        MissingDependency
            If pandas is not installed.
        """
        table = entries_frame([hit.entry for hit in self.hits])
        table["score"] = [hit.score for hit in self.hits]
        return table

    def _repr_html_(self) -> str:
        rows = [(hit.id, hit.entry.name, hit.entry.status.name, number(hit.score)) for hit in self.hits]
        return html_table(f"{len(self.hits)} of {self.total} ({self.kind})", ("id", "name", "status", "score"), rows)

    def __repr__(self) -> str:
        lines = [f"SemanticResult({len(self.hits)} of {self.total}, {self.kind})"]
        return "\n".join(lines + [f"  {hit.id}  {number(hit.score)}  {hit.entry.name!r}" for hit in self.hits])
