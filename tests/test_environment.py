"""Environments of models: made from wheels alone, once, without running anything of a stranger's."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from leaks import is_dead, nothing_left, wait_until
from learndock import Learnware
from learndock.environment import build_environment, default_cache, installers
from learndock.environment.conda_file import read_conda_file
from learndock.environment.distributions import distributions
from learndock.environment.wanted import read_wanted
from learndock.errors import EnvironmentBuildError, InvalidArgument, LearnwareError
from model_folders import write_model
from wheels import index, network, write_sdist, write_wheel

__all__ = ["index", "network"]

_SITE = Path("lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")


@pytest.fixture(autouse=True)
def _no_conda(monkeypatch, tmp_path):
    """This machine's own conda is not there, unless a test writes one."""
    programs = tmp_path / "programs"
    programs.mkdir()
    uv = installers._uv()
    if uv is not None and len(uv) == 1:
        (programs / "uv").symlink_to(uv[0])
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    for name in ("MAMBA_EXE", "CONDA_EXE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["uv", "pip"])
def installer(request, monkeypatch):
    """Each of the installers, the other one being absent."""
    if request.param == "pip":
        monkeypatch.setattr(installers, "_uv", lambda: None)
    elif installers._uv() is None:
        pytest.skip("uv is not installed")
    return request.param


@pytest.fixture
def pip(monkeypatch):
    """Only pip is there."""
    monkeypatch.setattr(installers, "_uv", lambda: None)


@pytest.fixture
def folder(tmp_path):
    """A learnware's folder."""
    return write_model(tmp_path / "learnware", "def predict(self, X): return X", {"learnware.yaml": "{}"})


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def program(tmp_path):
    """Write a program that stands for an installer: the Python in its body runs with its arguments in sys.argv."""

    def write(name, body):
        file = tmp_path / "programs" / name
        file.unlink(missing_ok=True)
        file.write_text(f"#!{sys.executable}\nimport os, sys, time\nfrom pathlib import Path\n{textwrap.dedent(body)}")
        file.chmod(0o700)
        return file

    return write


@pytest.fixture
def slow(program, monkeypatch, tmp_path):
    """An installer that says which processes it has, and then waits until a file is there, which is what is given."""
    monkeypatch.setattr(installers, "_uv", lambda: (str(tmp_path / "programs" / "slow"),))
    end = tmp_path / "end"
    program(
        "slow",
        f"""
        import subprocess
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print("\\x1b[31mstill\\x1b[0m busy", flush=True)
        Path({str(tmp_path)!r}, "pids.new").write_text(f"{{os.getpid()}} {{child.pid}}")
        Path({str(tmp_path)!r}, "pids.new").rename({str(tmp_path / "pids")!r})
        while not Path({str(end)!r}).exists():
            time.sleep(0.01)
        child.kill()
        """,
    )
    return end


def require(folder, *lines):
    (folder / "requirements.txt").write_text("\n".join(lines))
    return folder


def left_in(cache):
    return [path.name for path in cache.iterdir()] if cache.exists() else []


# What is asked for.


def test_requirements_that_mean_the_same_have_the_same_key_and_others_another(folder):
    def key(*lines):
        return read_wanted(require(folder, *lines), conda=False).key

    first = key("Scikit_Learn >= 1.2, <2", "learnware==0.3.2", "numpy", "pywin32; sys_platform == 'win32'")
    assert first == key("# the same", "scikit-learn<2,>=1.2")
    assert first != key("scikit-learn<2,>=1.3")
    assert first != key("scikit-learn[extra]<2,>=1.2")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-r other.txt", "no requirement of a distribution"),
        ("-e .", "no requirement of a distribution"),
        ("--no-binary :all:", "no requirement of a distribution"),
        ("./evil.whl", "no requirement of a distribution"),
        ("/tmp/evil.whl", "no requirement of a distribution"),
        ("https://example.org/evil.whl", "no requirement of a distribution"),
        ("git+https://example.org/evil", "no requirement of a distribution"),
        ("evil @ https://example.org/evil.whl", "a direct URL"),
        ("evil===../evil.whl", "no version"),
        ("evil===https://example.org/evil.whl", "no version"),
        ("evil===--pre", "no version"),
        ("evil @ file:///tmp/evil.whl", "a direct URL"),
    ],
)
def test_what_is_no_version_of_a_distribution_is_refused_by_name(folder, cache, line, reason):
    with pytest.raises(EnvironmentBuildError, match="from the index alone, by name and version") as caught:
        build_environment(require(folder, "numpy", line), cache=cache)
    assert f"{line[:200]!r} ({reason})" in str(caught.value)
    assert not cache.exists()


def test_a_requirement_nested_too_deeply_is_refused_by_name(folder, cache):
    line = "evil; " + "(" * 900
    with pytest.raises(EnvironmentBuildError, match="from the index alone, by name and version") as caught:
        build_environment(require(folder, "numpy", line), cache=cache)
    # Which of the two depends on the release of packaging: older ones run out of Python's stack.
    reasons = ("no requirement of a distribution", "can't be understood")
    assert any(f"{line[:200]!r} ({reason})" in str(caught.value) for reason in reasons)
    assert not cache.exists()


def test_many_refused_requirements_are_named_in_part():
    with pytest.raises(EnvironmentBuildError, match="and 990 more") as caught:
        distributions([f"./{number}{'x' * 900}" for number in range(1000)])
    assert len(str(caught.value)) < 4000


def test_markers_are_looked_at_and_go_no_further():
    lines = ["six ; python_version > '3'", "old==1; python_version < '3'", 'a; extra == "b"', "C[z,y]~=1.0"]
    assert distributions(lines) == ("c[y,z]~=1.0", "numpy", "six")


@pytest.mark.parametrize("argument", ["venv", "", None, 1])
def test_another_environment_than_the_two_is_refused(folder, argument):
    with pytest.raises(InvalidArgument, match="environment: expected 'current' or 'build', got"):
        Learnware.open(folder, environment=argument)


def test_the_cache_is_the_users_or_the_one_given_by_a_variable(monkeypatch, tmp_path):
    monkeypatch.delenv("LEARNDOCK_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_cache() == tmp_path / ".cache" / "learndock" / "environments"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "xdg" / "learndock" / "environments"
    monkeypatch.setenv("LEARNDOCK_CACHE", str(tmp_path / "own"))
    assert default_cache() == tmp_path / "own" / "environments"


# How it is made.


def test_an_environment_has_what_is_required_and_is_made_once(folder, cache, index, installer, caplog):
    write_wheel(index, "needed", "1.0")
    write_wheel(index, "needed", "2.0")
    caplog.set_level(logging.INFO, "learndock")
    first = build_environment(require(folder, "needed==1.0"), cache=cache)
    assert first.notes == ()
    assert first.python == cache / first.key / "env" / "bin" / "python"
    site = first.python.parent.parent / _SITE
    assert (site / "needed" / "__init__.py").read_text() == "__version__ = '1.0'\n"
    assert (site / "numpy" / "__init__.py").read_text() == "__version__ = '1.0'\n"
    # Compiled, since a model can't keep what it compiles; copied, since a link would lead to others' files.
    assert list((site / "needed").glob("__pycache__/*.pyc"))
    assert (site / "needed" / "__init__.py").stat().st_nlink == 1
    for path in index.iterdir():
        path.unlink()
    assert build_environment(folder, cache=cache) == first
    assert [record.getMessage()[:6] for record in caplog.records] == ["making", "made t"]
    assert left_in(cache) == [first.key]


def test_nothing_of_what_is_installed_runs_while_it_is_installed(
    folder, cache, index, installer, monkeypatch, tmp_path
):
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'a').write('ran\\n')"
    write_wheel(index, "evil", files={"evil.pth": f"import os; {code}\n", "attr.py": code, "sitecustomize.py": code})
    # Who has set these would have the new interpreter started to compile what was installed.
    monkeypatch.setenv("UV_COMPILE_BYTECODE", "1")
    monkeypatch.setenv("PIP_COMPILE", "1")
    environment = build_environment(require(folder, "evil"), cache=cache)
    assert not mark.exists()
    # It would have run: this is why nobody but a model's process may start it.
    subprocess.run([environment.python, "-c", ""], check=True)
    assert mark.exists()


def test_a_source_distribution_is_not_built(folder, cache, index, installer, tmp_path):
    mark = tmp_path / "ran"
    write_sdist(index, "evil", f"open({str(mark)!r}, 'w')")
    with pytest.raises(EnvironmentBuildError, match="only wheels are taken") as caught:
        build_environment(require(folder, "evil"), cache=cache)
    assert "evil" in str(caught.value).partition("it wrote:")[2]
    assert not mark.exists()


@pytest.mark.parametrize(
    "files",
    [
        {"evil-1.0.data/data/pyvenv.cfg": "home = /home/somebody/bin"},
        {"evil-1.0.data/data/bin/pyvenv.cfg": "home = /home/somebody/bin"},
        {"evil-1.0.data/scripts/python": "#!/bin/sh\n"},
        {"evil-1.0.dist-info/entry_points.txt": "[console_scripts]\npython3 = evil:main\n"},
    ],
)
def test_a_wheel_can_not_take_the_interpreters_place(folder, cache, index, installer, files):
    write_wheel(index, "evil", files=files)
    # uv refuses some of them by itself.
    with pytest.raises(EnvironmentBuildError, match="in place of those of the interpreter|reserved name"):
        build_environment(require(folder, "evil"), cache=cache)
    assert left_in(cache) == []


def test_a_failure_shows_the_resolvers_words_and_is_not_kept(folder, cache, index, installer):
    require(folder, "needed>=2")
    write_wheel(index, "needed", "1.0")
    with pytest.raises(EnvironmentBuildError, match=rf"{installer} failed with status [12] .*; it wrote:\n") as caught:
        build_environment(folder, cache=cache)
    words = str(caught.value).partition("it wrote:\n")[2]
    assert "needed" in words
    assert len(words) < 4000
    assert left_in(cache) == []
    write_wheel(index, "needed", "2.0")
    assert build_environment(folder, cache=cache).python.exists()


def test_without_a_network_the_message_says_so(folder, cache, installer, monkeypatch, tmp_path):
    for name in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_EXTRA_INDEX_URL", "UV_INDEX", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    with pytest.raises(EnvironmentBuildError, match="Connection refused"):
        build_environment(require(folder, "six"), cache=cache)


def test_without_an_installer_the_message_names_both(folder, cache, pip, monkeypatch):
    monkeypatch.setattr(installers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentBuildError, match="neither uv nor pip is here"):
        build_environment(require(folder, "six"), cache=cache)
    assert left_in(cache) == []


def test_an_installer_that_installs_nothing_is_found_out(folder, cache, program, monkeypatch):
    monkeypatch.setattr(installers, "_uv", lambda: (str(program("idle", "")),))
    with pytest.raises(EnvironmentBuildError, match=r"ended well, but there is no .*numpy/__init__\.py"):
        build_environment(folder, cache=cache)
    assert left_in(cache) == []


def test_a_cache_that_can_not_be_written_is_an_error_that_names_it(folder, cache):
    cache.write_text("")
    with pytest.raises(EnvironmentBuildError, match=f"no environment can be made in {cache}"):
        build_environment(folder, cache=cache)


# Several builders, and builders that die.


def test_several_threads_and_processes_that_want_the_same_make_it_once(folder, cache, index, pip, caplog):
    caplog.set_level(logging.INFO, "learndock")
    code = f"""
import logging
logging.basicConfig(level="INFO")
from learndock.environment import build_environment, installers
installers._uv = lambda: None
print(build_environment({str(folder)!r}, cache={str(cache)!r}).key)
"""
    others = [subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        keys = set(pool.map(lambda _: build_environment(folder, cache=cache).key, range(4)))
    log = "\n".join(record.getMessage() for record in caplog.records)
    for other in others:
        output, words = other.communicate(timeout=60)
        keys.add(output.strip())
        log += words
    assert len(keys) == 1
    assert log.count("making the environment") == 1
    assert left_in(cache) == [*keys]


def test_what_an_unfinished_builder_left_is_made_anew(folder, cache, index, pip):
    environment = build_environment(folder, cache=cache)
    place = cache / environment.key
    (place / "complete").unlink()
    (place / "env" / "junk").write_text("")
    assert build_environment(folder, cache=cache) == environment
    assert not (place / "env" / "junk").exists()


def test_an_environment_whose_interpreter_is_gone_is_made_anew(folder, cache, index, pip):
    environment = build_environment(folder, cache=cache)
    environment.python.unlink()
    environment.python.symlink_to("/no/such/python")
    assert build_environment(folder, cache=cache).python.exists()


@pytest.mark.parametrize("lost", ["pyvenv.cfg", "lib/python3*/site-packages/numpy/__init__.py"])
def test_an_environment_that_lost_files_of_the_cache_is_made_anew(folder, cache, index, pip, lost):
    environment = build_environment(folder, cache=cache)
    prefix = environment.python.parent.parent
    (file,) = prefix.glob(lost)
    file.unlink()
    assert build_environment(folder, cache=cache) == environment
    assert file.exists()


def test_an_installer_that_takes_too_long_is_ended_with_all_it_started(folder, cache, slow, tmp_path):
    with nothing_left():
        with pytest.raises(EnvironmentBuildError, match=r"uv was ended after \d+ s .*it wrote:\nstill busy$"):
            build_environment(folder, cache=cache, seconds=1.5)
        pids = (tmp_path / "pids").read_text().split()
        assert wait_until(lambda: all(is_dead(int(pid)) for pid in pids))
    assert left_in(cache) == []


def test_an_interrupt_ends_the_installer_and_leaves_nothing(folder, cache, slow, tmp_path):
    with nothing_left():

        def interrupt():
            wait_until((tmp_path / "pids").exists, seconds=20)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            build_environment(folder, cache=cache)
        thread.join()
    assert left_in(cache) == []


def test_the_lock_stays_as_long_as_the_installer_of_a_killed_builder(folder, cache, slow, tmp_path, monkeypatch):
    code = f"""
from learndock.environment import build_environment, installers
installers._uv = lambda: ({str(tmp_path / "programs" / "slow")!r},)
build_environment({str(folder)!r}, cache={str(cache)!r})
"""
    builder = subprocess.Popen([sys.executable, "-c", code])
    assert wait_until((tmp_path / "pids").exists, seconds=20)
    builder.kill()
    builder.wait()
    # Else two installers would write to the same place.
    with pytest.raises(EnvironmentBuildError, match="another process has been making the same one"):
        build_environment(folder, cache=cache, seconds=0.3)
    slow.touch()
    assert wait_until(lambda: is_dead(int((tmp_path / "pids").read_text().split()[0])))
    with pytest.raises(EnvironmentBuildError, match="ended well, but"):
        build_environment(folder, cache=cache)
    assert left_in(cache) == []


def test_a_closed_learnware_does_not_wait_for_its_environment(folder, slow, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("LEARNDOCK_CACHE", str(cache))
    learnware = Learnware.open(folder, environment="build")
    with ThreadPoolExecutor(1) as pool:
        prediction = pool.submit(learnware.predict, np.zeros((1, 3)))
        assert wait_until((tmp_path / "pids").exists, seconds=20)
        start = time.monotonic()
        learnware.close()
        assert time.monotonic() - start < 5
        slow.touch()
        with pytest.raises(LearnwareError):
            prediction.result(60)


# environment.yaml


def conda(folder, **content):
    (folder / "environment.yaml").write_text(yaml.safe_dump(content))
    return folder


_MICROMAMBA = """
import json
prefix = Path(sys.argv[sys.argv.index("--prefix") + 1])
settings = {name: value for name, value in os.environ.items() if name.startswith("MAMBA_")}
Path(__file__).with_name("seen.json").write_text(json.dumps([sys.argv[1:], settings]))
site = prefix / SITE
(site / "numpy").mkdir(parents=True)
(site / "numpy" / "__init__.py").write_text("")
(prefix / "bin").mkdir()
(prefix / "bin" / "python").symlink_to(sys.executable)
"""


def test_conda_makes_an_environment_from_names_and_versions_alone(folder, cache, program):
    file = program("micromamba", _MICROMAMBA.replace("SITE", repr(str(_SITE))))
    conda(
        folder,
        name="theirs",
        prefix="/home/somebody",
        variables={"LD_PRELOAD": "/tmp/evil.so"},
        channels=["https://conda.anaconda.org/conda-forge/", "nodefaults"],
        dependencies=["python=3.11", "pytorch::pytorch>=2,<3", "learnware", "ffmpeg=6.1=gpl_0", {"pip": ["learnware"]}],
    )
    environment = build_environment(folder, cache=cache)
    arguments, settings = json.loads(file.with_name("seen.json").read_text())
    prefix = cache / environment.key / "env"
    assert arguments == [
        *("create", "--yes", "--prefix", str(prefix), "--override-channels", "--channel", "conda-forge"),
        *("ffmpeg=6.1=gpl_0", "numpy", "python=3.11", "pytorch::pytorch>=2,<3"),
    ]
    # So that newer releases run no scripts of packages.
    assert settings["MAMBA_SKIP_RUN_LINK_SCRIPTS"] == "true"
    assert environment.python == prefix / "bin" / "python"
    assert environment.notes == ()


@pytest.mark.parametrize("name", ["mamba", "conda"])
def test_any_of_condas_programs_serves_and_its_words_are_shown(folder, cache, program, name):
    program(name, "sys.exit('\\x1b[1mPackagesNotFoundError: numpy\\x1b[0m')")
    with pytest.raises(
        EnvironmentBuildError, match=f"{name} failed with status 1; it wrote:\nPackagesNotFound.*: numpy$"
    ):
        build_environment(conda(folder, dependencies=["numpy"]), cache=cache)
    assert left_in(cache) == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"channels": ["evil"]}, "expected channels among conda-forge, defaults, pytorch, nvidia, got 'evil'"),
        ({"channels": ["https://example.org/conda-forge"]}, "expected channels"),
        ({"channels": ["conda-forge/label/x"]}, "expected channels"),
        ({"dependencies": ["evil::numpy"]}, "expected channels among .* got 'evil'"),
        ({"dependencies": ["numpy[channel=evil]"]}, "expected a package by name, version and build"),
        ({"dependencies": ["numpy=1[url=https://example.org]"]}, "expected a package"),
        ({"dependencies": ["https://example.org/evil.conda"]}, "expected a package"),
        ({"dependencies": ["evil.tar.bz2"]}, "expected a package"),
        ({"dependencies": ["evil-1-0.conda"]}, "expected a package"),
        ({"dependencies": ["--file=/etc/passwd"]}, "expected a package"),
        ({"dependencies": ["@/etc/passwd"]}, "expected a package"),
        ({"dependencies": ["../evil"]}, "expected a package"),
        ({"dependencies": ["a\nb"]}, "expected a package"),
        ({"dependencies": ["a" * 200_000 + "["]}, "expected a package"),
        ({"dependencies": [["a"]]}, "expected a package"),
        ({"dependencies": ["a"] * 1001}, "more than 1000 dependencies"),
        ({"dependencies": [{"pip": ["-e ."]}]}, "'-e .' \\(no requirement"),
    ],
)
def test_what_would_bring_condas_packages_from_elsewhere_is_refused(folder, cache, program, content, complaint):
    program("conda", "Path(__file__).with_name('started').touch()")
    with pytest.raises(EnvironmentBuildError, match=complaint):
        build_environment(conda(folder, **content), cache=cache)
    assert not (folder.parent / "programs" / "started").exists()


def test_python_and_numpy_are_in_condas_environment_in_any_case():
    here = f"python={sys.version_info.major}.{sys.version_info.minor}"
    assert read_conda_file({}).packages == ("numpy", here)
    assert read_conda_file({"dependencies": ["Python", {"pip": ["NumPy==1.26.4"]}]}).packages == ("Python",)


def test_the_part_under_pip_comes_as_wheels_into_condas_environment(folder, cache, index, program):
    if installers._uv() is None:
        pytest.skip("uv is not installed")
    program("micromamba", _MICROMAMBA.replace("SITE", repr(str(_SITE))))
    program("micromamba", "import venv; venv.create(Path(sys.argv[sys.argv.index('--prefix') + 1]), symlinks=True)")
    write_wheel(index, "needed")
    conda(folder, dependencies=["python", {"pip": ["needed", "numpy"]}])
    environment = build_environment(folder, cache=cache)
    assert (environment.python.parent.parent / _SITE / "needed" / "__init__.py").is_file()


def test_the_part_under_pip_needs_uv_beside_conda(folder, cache, program, pip):
    program("micromamba", _MICROMAMBA.replace("SITE", repr(str(_SITE))))
    conda(folder, dependencies=["python", {"pip": ["needed"]}])
    with pytest.raises(EnvironmentBuildError, match="uv is needed for the part under pip"):
        build_environment(folder, cache=cache)


def test_without_conda_the_index_serves_and_a_note_says_so(folder, cache, index, pip):
    write_wheel(index, "needed")
    write_wheel(index, "other", "2.0")
    conda(folder, channels=["any"], dependencies=["python=3.8.1", "libgcc", "other=2.0", {"pip": ["needed==1.0"]}])
    environment = build_environment(folder, cache=cache)
    site = environment.python.parent.parent / _SITE
    assert (site / "needed").is_dir()
    assert (site / "other").is_dir()
    first, second = environment.notes
    assert "no micromamba, mamba or conda here" in first
    assert second == f"environment.yaml asks for python=3.8.1, this is Python {sys.version.split()[0]}"
    # requirements.txt with the same has the same environment, and nothing to note.
    require(folder, "needed==1.0", "other==2.0")
    again = build_environment(folder, cache=cache)
    assert (again.key, again.notes) == (environment.key, ())


# With the real index.


def test_a_model_runs_with_another_numpy_than_the_hosts(tmp_path, network, cache, installer, monkeypatch):
    if sys.version_info >= (3, 13):
        pytest.skip("there is no NumPy 1 for this Python")
    monkeypatch.setenv("LEARNDOCK_CACHE", str(cache))
    body = "def predict(self, X): import six; return [np.__version__ + ' ' + six.__version__] * len(X)"
    folder = write_model(tmp_path / "learnware", body, {"learnware.yaml": "{}"})
    require(folder, "numpy==1.26.4", "six==1.16.0")
    with nothing_left(), Learnware.open(folder, environment="build") as learnware:
        assert not cache.exists()
        assert learnware.predict(np.zeros((2, 3))).tolist() == ["1.26.4 1.16.0"] * 2
    assert np.__version__ != "1.26.4"
