"""Real tasks, each split among developers and users whose data are shifted against one another.

The rows of a set are first divided into the developers' and the users', so that no model has seen a row that it is
judged on. Within each half a site draws rows by a preference of its own: two sites may hold the same row, and each
site's whole is distributed in its own way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from learndock.specification import SemanticSpecification

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = ["LABELLED_ROWS", "Site", "Task", "diabetes", "digits"]

# How many labelled rows a user has for a model of their own: the first of their rows. The rest is what is judged.
LABELLED_ROWS = 100


@dataclass(frozen=True, slots=True)
class Site:
    """One developer's or user's part of a set.

    Attributes
    ----------
    rows : (n,) int64
        Which rows of the set these are.
    X : (n, d) float64
        As the site sees them.
    y : (n,)
        Class indices or target values.
    """

    rows: Integers
    X: Floats
    y: Floats


@dataclass(frozen=True, slots=True)
class Task:
    """A set, split.

    Attributes
    ----------
    name : str
    kind : "Classification" or "Regression"
    developers, users : tuple of Site
        No row of a developer is a row of a user.
    semantic : callable
        The semantic specification of a developer's learnware, from its name.
    model : callable
        A new, unfitted scikit-learn model, the same for developers and for a user's own.
    """

    name: str
    kind: Literal["Classification", "Regression"]
    developers: tuple[Site, ...]
    users: tuple[Site, ...]
    semantic: Callable[[str], SemanticSpecification]
    model: Callable[[], Any]


def digits(*, developers: int = 8, users: int = 24, seed: int = 0) -> Task:
    """Handwritten digits (1,797 images of 8 × 8): each site sees mostly a few of them, in its own light and slant.

    The mix of a site is drawn from a Dirichlet distribution with concentration 0.5; all its images are turned by one
    angle within ±10 degrees and dimmed by one factor between 0.7 and 1. A developer has 200 images, a user 250.

    Parameters
    ----------
    developers, users : int
    seed : int
        Decides everything random.

    Returns
    -------
    Task
        X between 0 and 1, 64 columns; y from 0 to 9.
    """
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    images, labels = load_digits(return_X_y=True)
    images = np.asarray(images, dtype=np.float64) / 16.0
    labels = np.asarray(labels, dtype=np.int64)
    random = np.random.default_rng([seed, 1])
    developers_rows, users_rows = _halves(len(images), 1_100, random)

    def site(pool: Integers, size: int) -> Site:
        mix = random.dirichlet(np.full(10, 0.5))
        share = np.bincount(labels[pool], minlength=10)
        rows = _draw(pool, (mix / share)[labels[pool]], size, random)
        seen = _turned(images[rows], random.uniform(-10.0, 10.0)) * random.uniform(0.7, 1.0)
        return Site(rows, seen, labels[rows].astype(np.float64))

    def semantic(name: str) -> SemanticSpecification:
        return SemanticSpecification(
            name=name,
            description="Digit in an image of 8 x 8 pixels, from grey values between 0 and 1.",
            data="Table",
            task="Classification",
            library="Scikit-learn",
            scenario=["Education", "Computer"],
            license="BSD-3-Clause",
            input={"Dimension": 64, "Description": {str(i): f"pixel {i // 8}, {i % 8}" for i in range(64)}},
            output={"Dimension": 10, "Description": {str(digit): str(digit) for digit in range(10)}},
        )

    return Task(
        name="digits",
        kind="Classification",
        developers=tuple(site(developers_rows, 200) for _ in range(developers)),
        users=tuple(site(users_rows, 250) for _ in range(users)),
        semantic=semantic,
        model=lambda: LogisticRegression(C=3.0, max_iter=1_000),
    )


def diabetes(*, developers: int = 4, users: int = 24, seed: int = 0) -> Task:
    """Progression of diabetes after a year (442 patients): each clinic's patients resemble one another.

    A site draws a patient, and the others by how close they are in age, body mass and blood pressure (a Gaussian of
    one standard deviation). A developer has 60 patients, a user 160.

    Parameters
    ----------
    developers, users : int
    seed : int
        Decides everything random.

    Returns
    -------
    Task
        X standardised over the whole set, 10 columns; y from 25 to 346.
    """
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import Ridge

    patients = load_diabetes()
    # The set comes with columns of unit length; times sqrt(n) they have unit variance, which suits the default gamma.
    X = np.asarray(patients.data, dtype=np.float64) * np.sqrt(len(patients.data))
    y = np.asarray(patients.target, dtype=np.float64)
    columns = [patients.feature_names.index(name) for name in ("age", "bmi", "bp")]
    profile = X[:, columns]
    random = np.random.default_rng([seed, 2])
    developers_rows, users_rows = _halves(len(X), 200, random)

    def site(pool: Integers, size: int) -> Site:
        middle = profile[random.choice(pool)]
        closeness = np.exp(-0.5 * np.sum((profile[pool] - middle) ** 2, axis=1))
        rows = _draw(pool, closeness, size, random)
        return Site(rows, X[rows], y[rows])

    def semantic(name: str) -> SemanticSpecification:
        return SemanticSpecification(
            name=name,
            description="Progression of diabetes after one year, from ten standardised measurements.",
            data="Table",
            task="Regression",
            library="Scikit-learn",
            scenario="Health",
            license="BSD-3-Clause",
            input={"Dimension": 10, "Description": dict(enumerate(patients.feature_names))},
            output={"Dimension": 1, "Description": {"0": "disease progression"}},
        )

    return Task(
        name="diabetes",
        kind="Regression",
        developers=tuple(site(developers_rows, 60) for _ in range(developers)),
        users=tuple(site(users_rows, 160) for _ in range(users)),
        semantic=semantic,
        model=lambda: Ridge(alpha=1.0),
    )


def _halves(n: int, first: int, random: np.random.Generator) -> tuple[Integers, Integers]:
    order = random.permutation(n)
    return order[:first], order[first:]


def _draw(pool: Integers, preference: Floats, size: int, random: np.random.Generator) -> Integers:
    """Draw rows of the pool, none twice, each with a chance in proportion to its preference."""
    # A Dirichlet share may underflow to 0; the floor keeps every row possible once the preferred ones are used up.
    chance = preference + 1e-12 * preference.max()
    return random.choice(pool, size=size, replace=False, p=chance / chance.sum())


def _turned(images: Floats, degrees: float) -> Floats:
    """Turn flattened images of 8 × 8 about their middle; what comes in from outside is black."""
    from scipy.ndimage import rotate

    square = images.reshape(-1, 8, 8)
    turned = rotate(square, degrees, axes=(1, 2), reshape=False, order=1)
    return np.asarray(np.clip(turned, 0.0, 1.0), dtype=np.float64).reshape(len(images), 64)
