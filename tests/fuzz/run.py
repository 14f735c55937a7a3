"""Fuzz one parser: `python tests/fuzz/run.py TARGET --seconds 60`; `--list` names the targets.

Coverage guides the choice of inputs (atheris, which brings libFuzzer). What ends a run is written to
tests/data/fuzz/TARGET, where tests/test_fuzz_cases.py reads it from then on.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

TESTS = Path(__file__).resolve().parent.parent
sys.path[0] = str(TESTS)

from fuzz import TARGETS  # noqa: E402

# Of one input; a machine may be busy. Memory in MiB.
SECONDS, MEMORY = 10, 2048
# What a parser looks for, and random bytes seldom are.
TOKENS = r"""
{ } [ ] " : , null true NaN Infinity -0 1e400 1e-400 \\ud800
&a *a <<: !!python/tuple !!binary ? | %YAML :: == >= ; --hash= @
'descr': '<f8' '|O' 'fortran_order': 'shape': \x93NUMPY PK\x01\x02 PK\x05\x06
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", choices=TARGETS)
    parser.add_argument("--list", action="store_true", help="name the targets")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument(
        "--runs", type=int, default=-1, help="how many at most; by default as many as there is time for"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="a folder of inputs to go on from; new ones are added")
    arguments = parser.parse_args()
    if arguments.list or arguments.target is None:
        print(*TARGETS, sep="\n")
        return
    logging.disable()
    warnings.simplefilter("error")  # as pytest has it
    with atheris.instrument_imports(include=["learndock"]):
        target = importlib.import_module(f"fuzz.{arguments.target}")
        for seed in target.seeds():
            target.run(seed)  # much is imported when it is first needed
    cases = TESTS / "data" / "fuzz" / arguments.target
    cases.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="learndock-fuzz-") as folder:
        corpus = arguments.corpus or Path(folder) / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(target.seeds()):
            (corpus / f"seed{number}").write_bytes(seed)
        tokens = Path(folder) / "tokens"
        tokens.write_text("".join('"' + token.replace('"', '\\"') + '"\n' for token in TOKENS.split()))
        options = {
            "max_total_time": arguments.seconds,
            "runs": arguments.runs,
            "seed": arguments.seed,
            "timeout": SECONDS,
            "rss_limit_mb": MEMORY,
            "max_len": 4096,
            "dict": tokens,
            "artifact_prefix": f"{cases}/",
            "print_final_stats": 1,
        }
        mutators = {}
        if hasattr(target, "mutate"):
            mutators["custom_mutator"] = lambda data, most, seed: target.mutate(data, most, seed, atheris.Mutate)
        atheris.Setup(
            [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus), str(cases)],
            target.run,
            **mutators,
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
