"""What a measurement is made with, chosen before the first kernel runs: instruction set and threads; and the machine.

The core chooses its instruction set once a process, at the first kernel. asv starts a process for each benchmark and
combination of parameters, and the report one for each instruction set, so `use` can choose it there.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import threadpoolctl

DEVICES = ("cpu",)
# All that a build for x86-64 may hold; what this build or this processor lacks is shown as n/a.
_X86 = ("baseline", "avx2", "avx512", "avx512vnni", "amx")
INSTRUCTION_SETS = _X86 if platform.machine() in ("x86_64", "AMD64") else ("baseline",)
THREADS = (1, 2)

# As cpp/CMakeLists.txt compiles each instruction set.
_AVX512 = ("-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma", "-mprefer-vector-width=512")
# The limits of float32; what 16-bit integers and products of matrices do beyond shows as a share above 1.
_FLAGS = {
    "baseline": (),
    "avx2": ("-mavx2", "-mfma"),
    **dict.fromkeys(("avx512", "avx512vnni", "amx"), _AVX512),
}
# Larger than the last cache of most processors.
FROM_MEMORY = 1 << 28


def use(instruction_set: str | None, threads: int) -> None:
    """Make this process run one instruction set on so many processors; None where no kernel of ours is to run.

    NotImplementedError, which asv shows as n/a, where this machine has no such thing.
    """
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < threads:
        raise NotImplementedError(f"this process may use {len(processors)} processors, not {threads}")
    # Whatever starts threads by the number of processors starts as many as we do.
    os.sched_setaffinity(0, processors[:threads])
    threadpoolctl.threadpool_limits(threads)
    if instruction_set is None:
        return
    from learndock import kernels, set_threads

    os.environ["LEARNDOCK_SIMD"] = instruction_set
    try:
        active = kernels.instruction_sets()["active"]
    except RuntimeError as error:  # says what there is
        raise NotImplementedError(str(error)) from None
    if active != instruction_set:
        raise RuntimeError(f"a kernel ran before {instruction_set} was chosen: this process is at {active}")
    set_threads(threads)


def require_room(memory: int, *, disk: int = 0) -> None:
    """NotImplementedError where this machine has no room for a benchmark's data."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
    free = 1024 * int(fields["MemAvailable"].split()[0])
    if memory > free / 2:
        raise NotImplementedError(f"it takes {memory / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB are free")
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if disk > free / 2:
        raise NotImplementedError(f"it takes {disk / 1e9:.1f} GB of disk; {free / 1e9:.1f} GB are free")


def _floor_program(instruction_set: str) -> Path:
    """floor.cpp, compiled for an instruction set; kept from one process to the next."""
    source = Path(__file__).with_name("floor.cpp")
    command = ["-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
    command += ["-pthread", *_FLAGS[instruction_set]]
    digest = hashlib.sha256(source.read_bytes() + " ".join(command).encode()).hexdigest()
    program = source.parent / ".asv" / "floor" / digest[:16]
    if program.exists():
        return program
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if compiler is None:
        raise NotImplementedError("floor.cpp needs GCC: neither CXX nor g++ is here")
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        built = Path(folder) / "floor"
        subprocess.run([compiler, *command, str(source), "-o", str(built)], check=True)
        built.rename(program)
    return program


@functools.cache
def _floor(what: str, instruction_set: str, threads: int, seconds: float, *more: str) -> float:
    command = [str(_floor_program(instruction_set)), str(threads), str(seconds), what, *more]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def multiply_adds_per_second(instruction_set: str, threads: int, *, seconds: float = 0.3) -> float:
    """Float32 multiply-adds (a multiplication and an addition, where the set has no fused one) of all lanes."""
    return _floor("multiply_add", instruction_set, threads, seconds)


def exponentials_per_second(instruction_set: str, threads: int, *, seconds: float = 0.3) -> float:
    """2^x in float32, read from the first cache and summed."""
    return _floor("exp2", instruction_set, threads, seconds)


def bytes_per_second(working_set: int, instruction_set: str, threads: int, *, seconds: float = 0.3) -> float:
    """Reading a working set of so many bytes, shared out among the threads, again and again."""
    return _floor("read", instruction_set, threads, seconds, str(working_set))


def written_per_second(folder: Path, size: int) -> float:
    """Bytes that the disk of a folder takes, written and synced as a dock's segments are: 512 MB to a file at most."""
    piece = os.urandom(1 << 22)
    most = 128  # pieces
    pieces = -(-size // len(piece))
    begin = time.perf_counter()
    for first in range(0, pieces, most):
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(first, min(first + most, pieces)):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    return pieces * len(piece) / (time.perf_counter() - begin)


def processor() -> str:
    """The processor's name, with family and model where the name is one of many."""
    fields: dict[str, str] = {}
    with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        for line in file:
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    if "model name" not in fields:
        return platform.processor() or platform.machine()
    return f"{fields['model name']} (family {fields['cpu family']}, model {fields['model']})"


def versions() -> dict[str, str]:
    """Python, learndock and every baseline that is installed."""
    import learndock

    found = {"python": platform.python_version(), "learndock": learndock.__version__}
    for name in ("numpy", "scipy", "scikit-learn", "torch", "jax", "goodpoints", "coreax", "learnware"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
