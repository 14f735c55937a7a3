"""What a developer can run: `nox -l` lists it."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "typecheck", "tests"]

LINT = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "lint")


@nox.session
def tests(session: nox.Session) -> None:
    """Build, install and run the tests; arguments go to pytest."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style: ruff for Python, clang-format for C++."""
    session.install(*LINT)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("bash", "scripts/clang_format.sh", "--dry-run", "-Werror", external=True)


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check types with mypy, strictly, and the core's stub against the core."""
    session.install(".", *LINT)
    session.run("mypy")
    session.run("stubtest", "--allowlist", "scripts/stubtest-allowlist.txt", "learndock._core")


@nox.session
def sdist(session: nox.Session) -> None:
    """Make the source distribution; it carries Eigen's headers."""
    session.install("build")
    session.run("python", "-m", "build", "--sdist")


@nox.session
def wheels(session: nox.Session) -> None:
    """Make a wheel for this machine's Python; it runs on any processor of the architecture."""
    session.install("build")
    session.run("python", "-m", "build", "--wheel")


# The core, its parity with NumPy, and what it makes of files and arrays from strangers.
SANITIZED = [
    f"tests/test_{name}.py"
    for name in (
        "kernel_sums",
        "sketches",
        "simplex_qp",
        "search",
        "mixture",
        "top_k",
        "herding",
        "reduced_set",
        "kernels_bad_input",
        "golden_search",
        "spec_files",
        "archive",
        "hostile_files",
        "fuzz_cases",
    )
]


@nox.session
def sanitize(session: nox.Session) -> None:
    """Run the tests of the core and of hostile files with address and undefined behaviour sanitizers."""
    session.install(
        ".[test]", "-C", "cmake.define.LEARNDOCK_SANITIZE=address,undefined", "-C", "cmake.build-type=RelWithDebInfo"
    )
    # The second one, for the sanitizer looks for what throws exceptions when it starts: the core brings it too late.
    runtimes = [
        session.run("gcc", f"-print-file-name={name}", external=True, silent=True).strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    environment = {
        "LD_PRELOAD": " ".join(runtimes),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    instrumented = "from pathlib import Path; from learndock import _core; core = Path(_core.__file__).read_bytes(); "
    instrumented += "assert b'__asan_report' in core and b'__ubsan_handle' in core, 'the core is not instrumented'"
    session.run("python", "-c", instrumented, env=environment)
    if session.posargs:
        session.run("pytest", *session.posargs, env=environment)
        return
    report = Path(session.virtualenv.location) / "report.xml"
    # A limit on address space leaves no room for the sanitizer's shadow of it.
    session.run("pytest", *SANITIZED, "-k", "not too_large_for_memory", f"--junit-xml={report}", env=environment)
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    passed = sum(int(suite.get("tests", 0)) - int(suite.get("skipped", 0)) for suite in suites)
    session.log(f"{passed} cases passed with address and undefined behaviour sanitizers")
    if passed < 200:
        session.error(f"{passed} cases are too few to say that the core was tested: expected 200")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz every parser and the core's entry points, a minute each; an argument is another number of seconds."""
    session.install("--upgrade", "pip>=25.1")  # older ones know no dependency groups
    session.install(".[test]", "--group", "fuzz")
    session.run("bash", "scripts/fuzz.sh", *(session.posargs or ["60"]), external=True)


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """Build and test with the oldest versions allowed, of what it is built with and of what it runs with."""
    session.install("uv")
    folder = Path(session.virtualenv.location)
    build_requires = folder / "build-requires.in"
    build_requires.write_text("\n".join(nox.project.load_toml("pyproject.toml")["build-system"]["requires"]))
    pins = {}
    for name, arguments in (("build", [str(build_requires)]), ("run", ["pyproject.toml", "--extra", "test"])):
        pins[name] = str(folder / f"oldest-{name}.txt")
        compile_pins = ["uv", "pip", "compile", "-q", "--resolution", "lowest-direct", "--python-version", "3.11"]
        session.run(*compile_pins, *arguments, "-o", pins[name], silent=True)
    session.install("--upgrade", "pip>=25.3")  # older ones can't pin what a build is made with
    session.install(".[test]", "--constraint", pins["run"], "--build-constraint", pins["build"])
    session.run("python", "-m", "pip", "list")
    # Old packages beside newer ones that they stand on warn of each other, which is not our business.
    session.run("pytest", "-W", "default::DeprecationWarning", *(session.posargs or ["-m", "not slow"]))


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks by asv, each once, with what they compare with; arguments go to `asv run`."""
    session.install("--upgrade", "pip>=25.1")  # older ones know no dependency groups
    session.install(".", "--group", "bench")
    session.chdir("benchmarks")
    session.run("asv", "machine", "--yes")
    commit = session.run("git", "rev-parse", "HEAD", external=True, silent=True).strip()
    arguments = session.posargs or ["--quick"]
    session.run("asv", "run", "-E", "existing", "--set-commit-hash", commit, *arguments)
    session.run("asv", "publish", "HEAD^!")


@nox.session(venv_backend="none")
def aarch64(session: nox.Session) -> None:
    """Cross-compile the core for 64-bit ARM and run the tests of its kernels under qemu; arguments go to pytest."""
    session.run("bash", "scripts/aarch64.sh", *session.posargs, external=True)
