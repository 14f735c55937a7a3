"""What a developer can run: `nox -l` lists it."""

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
    """Check types with mypy, strictly."""
    session.install(".", *LINT)
    session.run("mypy")


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


@nox.session
def sanitize(session: nox.Session) -> None:
    """Run the kernel tests with address and undefined behaviour sanitizers."""
    session.install(
        ".[test]", "-C", "cmake.define.LEARNDOCK_SANITIZE=address,undefined", "-C", "cmake.build-type=RelWithDebInfo"
    )
    runtime = session.run("gcc", "-print-file-name=libasan.so", external=True, silent=True).strip()
    session.run(
        "pytest",
        *(session.posargs or ["tests/test_kernel_sums.py", "tests/test_simplex_qp.py", "tests/test_search.py"]),
        env={"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"},
    )
