"""How often `Hit.fits` and `Hit.p_value` are wrong, on made pairs of a user and a learnware.

Both draw rows of a mixture of three Gaussians of its own for each pair; the learnware's are shifted by so many standard
deviations of the whole, in a random direction. At shift 0 "does not fit" is a false alarm; elsewhere anything else is a
miss. Where any data would pass, `fits` says nothing.

    python benchmarks/experiments/fits.py --pairs 500
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

import learndock as ld
from learndock.dock.fits import Sample, fits
from learndock.dock.two_sample import p_value, sampled

SEED = 12
SHIFTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
COMPARED = (1, 1_000, 1_000_000)
HELD_OUT = 500
LEVEL = 0.05

Table = npt.NDArray[np.float64]


def pair(generator: np.random.Generator, dim: int, fewest: int, most: int) -> tuple[Table, Table, Table, Table]:
    """Rows of a user, rows of a learnware, rows that it held out, and the unit of a shift."""
    centres, shares = generator.normal(size=(3, dim)), generator.dirichlet(np.full(3, 3.0))
    scales = generator.uniform(0.5, 1.0, size=3)

    def rows(count: int) -> Table:
        member = generator.choice(3, size=count, p=shares)
        return centres[member] + scales[member, None] * generator.normal(size=(count, dim))

    counts = np.exp(generator.uniform(np.log(fewest), np.log(most), size=2)).astype(int)
    direction = generator.normal(size=dim)
    spread = rows(10_000).std(axis=0)  # of each column
    return rows(counts[0]), rows(counts[1]), rows(HELD_OUT), spread * direction / np.linalg.norm(direction)


def verdicts(
    generator: np.random.Generator, *, dim: int, gamma: float | None, fewest: int, most: int, points: int
) -> Iterator[tuple[float, str, bool | None]]:
    """For one pair: the shift, who says it, and whether it fits by their word; None where they say nothing."""
    user, docked, held_out, unit = pair(generator, dim, fewest, most)
    width = ld.median_gamma(user) if gamma is None else gamma
    sketch = ld.RKMETableSpecification.fit(user, n_points=points, gamma=width, random_state=generator)
    whole = ld.RKMETableSpecification.fit(user, gamma=width, reduce=False)
    for shift in SHIFTS:
        moved = docked + shift * unit
        spec = ld.RKMETableSpecification.fit(moved, n_points=points, gamma=width, random_state=generator)
        sample = Sample(len(moved), spec.fit_mmd2 or 0.0)
        for name, asking in (("search", sketch), ("search_rows", whole)):
            own = Sample(len(user), asking.fit_mmd2 or 0.0)
            mmd2, norm2, docked_norm2 = asking.mmd2(spec), asking.inner(asking), spec.inner(spec)
            for compared in COMPARED:
                said = fits(mmd2, own, sample, norm2=norm2, docked_norm2=docked_norm2, compared=compared)
                yield shift, f"{name}, {compared:,}", said
        drawn = sampled(user, generator)
        value = p_value(drawn, held_out + shift * unit, gamma=width, permutations=199, generator=generator)
        yield shift, "p_value", value > LEVEL


def main() -> None:
    """Print a table for each dimension and gamma."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--dims", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--gamma", type=float, help="by default the median heuristic, of each pair")
    parser.add_argument("--rows", type=int, nargs=2, default=[200, 5_000], help="fewest and most of a side")
    parser.add_argument("--points", type=int, default=100)
    arguments = parser.parse_args()
    for dim in arguments.dims:
        start, kept, silent = time.perf_counter(), Counter[tuple[float, str]](), Counter[str]()
        for number in range(arguments.pairs):
            generator = np.random.default_rng([SEED, dim, number])
            fewest, most = arguments.rows
            for shift, name, fit in verdicts(
                generator, dim=dim, gamma=arguments.gamma, fewest=fewest, most=most, points=arguments.points
            ):
                kept[shift, name] += fit is not False
                silent[name] += fit is None
        gamma = "median" if arguments.gamma is None else f"{arguments.gamma:g}"
        print(
            f"\n{arguments.pairs} pairs, d {dim}, gamma {gamma}, {arguments.rows[0]:,} to {arguments.rows[1]:,} rows, "
            f"{arguments.points} points ({time.perf_counter() - start:.0f} s)\n"
        )
        misses = " | ".join(f"misses at {s:g}" for s in SHIFTS[1:])
        print(f"| who, among how many | false alarms | {misses} | says nothing |")
        print("| --- |" + " --- |" * (len(SHIFTS) + 1))
        for name in dict.fromkeys(name for _, name in kept):
            shares = [kept[shift, name] / arguments.pairs for shift in SHIFTS]
            shown = [f"{1 - shares[0]:.1%}", *(f"{share:.1%}" for share in shares[1:])]
            shown.append(f"{silent[name] / arguments.pairs / len(SHIFTS):.1%}")
            print(f"| {name} | " + " | ".join(shown) + " |")


if __name__ == "__main__":
    main()
