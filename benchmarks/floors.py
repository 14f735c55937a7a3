"""Limits of this machine: every other time can be read as a share of one of these."""

from __future__ import annotations

from typing import Any

from . import machine


class Arithmetic:
    """Multiply-adds and exponentials in float32."""

    params = [machine.INSTRUCTION_SETS, machine.THREADS]
    param_names = ["instruction_set", "threads"]

    def setup(self, instruction_set: str, threads: int) -> None:
        machine.use(instruction_set, threads)

    def track_multiply_adds(self, instruction_set: str, threads: int) -> float:
        return machine.multiply_adds_per_second(instruction_set, threads) / 1e9

    def track_exponentials(self, instruction_set: str, threads: int) -> float:
        return machine.exponentials_per_second(instruction_set, threads) / 1e9

    track_multiply_adds.unit = track_exponentials.unit = "1e9 / s"  # type: ignore[attr-defined]


class Read:
    """Bytes read a second from working sets: first and second cache, 100,000 candidates of herding, memory."""

    params = [machine.INSTRUCTION_SETS, machine.THREADS, (24_000, 500_000, 12_800_000, machine.FROM_MEMORY)]
    param_names = ["instruction_set", "threads", "bytes"]

    def setup(self, instruction_set: str, threads: int, working_set: int) -> None:
        machine.use(instruction_set, threads)

    def track_read(self, instruction_set: str, threads: int, working_set: int) -> float:
        return machine.bytes_per_second(working_set, instruction_set, threads) / 1e9

    track_read.unit = "GB/s"  # type: ignore[attr-defined]


class PortFloor:
    """Seconds for a million specifications and a query, 100 points each: d + 2 multiply-adds a vector of pairs.

    Two of them are what the cheapest exponential that we know of takes; the rest of it runs beside them where the
    processor adds and permutes on other ports than it multiplies.
    """

    params: Any = [machine.INSTRUCTION_SETS, machine.THREADS, (8, 32, 128)]
    param_names = ["instruction_set", "threads", "d"]

    def setup(self, instruction_set: str, threads: int, d: int) -> None:
        machine.use(instruction_set, threads)

    def track_seconds(self, instruction_set: str, threads: int, d: int) -> float:
        return 1e10 * (d + 2) / machine.multiply_adds_per_second(instruction_set, threads)

    track_seconds.unit = "s"  # type: ignore[attr-defined]
