"""Models that mean harm: what they use is limited, what they send is checked, what they start is ended."""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from leaks import alive_with, nothing_left, wait_until
from learndock.errors import ModelError, ModelTimeout
from learndock.runtime import Isolation, ModelDescription, ModelLimits, ModelProcess
from learndock.runtime.scratch import remove_folder
from model_folders import QUICK, level_of_isolation, model_maker, write_model  # noqa: F401 (fixtures)

ROWS = np.arange(12.0).reshape(4, 3)


def test_memory_beyond_the_limit_is_refused_to_the_model(make):
    body = """
    def predict(self, X): return np.ones(2 ** 29)
    def other(self, X): return X
    """
    with make(body, limits=ModelLimits(seconds=20, memory_bytes=2**30)) as model:
        with pytest.raises(ModelError, match=r"MemoryError|Unable to allocate"):
            model.call("predict", ROWS)
        np.testing.assert_array_equal(model.call("other", ROWS), ROWS)


def test_memory_of_all_processes_together_is_limited(make):
    body = """
    def predict(self, X):
        for _ in range(4):
            if os.fork() == 0:
                keep = np.ones(2 ** 24)  # 128 MiB, below the limit of each
                time.sleep(60)
        time.sleep(60)
    """
    model = make(body, limits=ModelLimits(seconds=20, memory_bytes=2**29 - 2**27))
    with pytest.raises(ModelError, match="more than 402653184 bytes of memory"):
        model.call("predict", ROWS)


def test_more_processes_than_allowed_end_the_model(make):
    body = """
    def predict(self, X):
        while True:
            try:
                os.fork()
            except OSError:
                pass
            time.sleep(0.01)
    """
    model = make(body, limits=ModelLimits(seconds=20, processes=8))
    with pytest.raises(ModelError, match="more than 8 processes"):
        model.call("predict", ROWS)


def test_a_file_beyond_the_limit_can_not_be_written(make):
    body = """
    def predict(self, X):
        with open("large", "wb") as file:
            file.write(bytes(2 ** 20))
    def answer(self, X): return np.zeros(2 ** 18)
    def other(self, X): return X
    """
    with make(body, limits=ModelLimits(seconds=20, file_bytes=2**19)) as model:
        with pytest.raises(ModelError, match="File too large"):
            model.call("predict", ROWS)
        with pytest.raises(ModelError, match="File too large"):
            model.call("answer", ROWS)
        np.testing.assert_array_equal(model.call("other", ROWS), ROWS)


@pytest.mark.parametrize("size", [2**18, 0])
def test_many_files_in_the_temporary_folder_are_limited_together(make, size):
    body = f"""
    def predict(self, X):
        number = 0
        while True:
            os.makedirs(f"{{number % 7}}", exist_ok=True)
            with open(f"{{number % 7}}/{{number}}", "wb") as file:
                file.write(bytes({size}))
            number += 1
            time.sleep(0.001)
    """
    model = make(body, limits=ModelLimits(seconds=20, file_bytes=2**20))
    with pytest.raises(ModelError, match="temporary folder held more than 1048576 bytes"):
        model.call("predict", ROWS)


def test_what_is_printed_without_end_is_bounded_and_harmless(make):
    body = """
    def predict(self, X):
        for _ in range(200):
            os.write(1, b"x" * 2 ** 16); os.write(2, b"\\xff\\x1b[2J" * 2 ** 12)
        sys.stdout.write("the end"); os.abort()
    """
    with make(body) as model, pytest.raises(ModelError, match="killed by SIGABRT") as caught:
        model.call("predict", ROWS)
    assert len(str(caught.value)) < 20_000
    assert "\x1b" not in str(caught.value)


def test_a_model_that_closes_its_streams_still_predicts(make):
    with make(
        "def predict(self, X): sys.stdout.close(); sys.stderr = None; os.close(1); os.close(2); return X"
    ) as model:
        np.testing.assert_array_equal(model.call("predict", ROWS), ROWS)


def test_what_a_model_leaves_in_its_folder_is_removed_whatever_it_is(make, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("kept")
    body = f"""
    def predict(self, X):
        os.makedirs("a/b/c"); open("a/b/c/file", "w").close(); os.symlink({str(outside)!r}, "a/link")
        os.mkfifo("fifo"); os.chmod("a/b/c", 0); os.chmod("a/b", 0); os.chmod("a", 0o100)
        return [os.getcwd()]
    """
    with make(body) as model:
        folder = Path(str(model.call("predict", ROWS)[0]))
        assert folder.is_dir()
    assert not folder.exists()
    assert (outside / "keep").read_text() == "kept"


# Deeper than Python recurses, and than a path may be long.
BURROW = """
def burrow(self, X, name="d", depth=3000):
    for _ in range(depth):
        os.mkdir(name)
        os.chdir(name)
    return X
"""


@pytest.mark.parametrize("end", ["pass", "time.sleep(60)", "os.kill(os.getppid(), signal.SIGKILL)"])
def test_directories_nested_beyond_any_path_are_removed(make, end):
    body = BURROW + f"def predict(self, X): self.burrow(X); open('file', 'w').close(); {end}; return X"
    limits = ModelLimits(seconds=3, file_bytes=2**30)
    with make(body, limits=limits) as model, contextlib.suppress(ModelError):
        model.call("predict", ROWS)


def test_what_lies_deeper_than_a_path_can_lead_is_not_uncounted(make):
    body = BURROW + "def predict(self, X): self.burrow(X, 'd' * 250, 20); time.sleep(60)"
    model = make(body, limits=ModelLimits(seconds=20))
    with pytest.raises(ModelError, match="nested deeper than a path can lead"):
        model.call("predict", ROWS)


def test_removal_survives_what_can_not_be_removed(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    for name in ("a/b/c", "a/stays/d", "e"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("")
    real = os.rmdir
    monkeypatch.setattr(os, "rmdir", lambda path, **options: "stays" in str(path) or real(path, **options))
    remove_folder(folder)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) == ["a", "a/stays"]


def test_a_removal_of_what_is_not_there_or_no_folder_is_quiet(tmp_path):
    remove_folder(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    remove_folder(tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_a_link_in_place_of_the_temporary_folder_is_removed_and_not_entered(make, tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)
    (outside / "inner").chmod(0o755)
    body = f"""
    def predict(self, X):
        home = os.getcwd()
        os.rename(home, home + "-moved")
        os.symlink({str(outside)!r}, home)
        os.rmdir(home + "-moved")
        return [home]
    """
    # Above this level a model can't reach the folder that its folder lies in.
    monkeypatch.setattr("learndock.runtime.tree._MOST", Isolation.PROCESS)
    with make(body) as model:
        home = Path(str(model.call("predict", ROWS)[0]))
        assert home.is_symlink()
    assert not home.is_symlink()
    assert (outside / "inner").stat().st_mode & 0o777 == 0o755


# How a model finds the socket to the host, and what it can send there.
MEMORY = """
def control():
    for name in os.listdir("/proc/self/fd"):
        try:
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        if found.type == socket.SOCK_SEQPACKET:
            return found
s = control()
def memory(size, seals=True):
    import fcntl
    descriptor = os.memfd_create("answer", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    if seals:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return descriptor
def say(data, *descriptors):
    packed = struct.pack(f"{len(descriptors)}i", *descriptors)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)] if descriptors else []
    s.sendmsg([data.encode() if isinstance(data, str) else data], rights)
def answer(dtype, shape, *descriptors, **more):
    say(json.dumps({"call": 2, "dtype": dtype, "shape": shape, **more}), *descriptors)
"""

ATTACKS = {
    "closes the socket": ("s.shutdown(socket.SHUT_RDWR)", "channel is closed"),
    "sends nothing at all": ("say(b'')", "channel is closed"),
    "sends bytes": ("say(bytes(range(256)))", "not JSON"),
    "sends half a message": ("say('{\"call\": 2, ')", "not JSON"),
    "sends deep nesting": ("say('[' * 90000)", "not JSON"),
    "sends a huge integer": ("say('{\"call\": ' + '9' * 90000 + '}')", "not JSON"),
    "sends a list": ("say('[2]')", "no JSON object"),
    "sends too much": ("say('\"' + 'x' * 150000 + '\"')", "more than 98304 bytes"),
    "answers another call": ('say(\'{"call": 1, "error": "x"}\')', "another call"),
    "answers without an array": ("say('{\"call\": 2}')", "without an array"),
    "answers without a shape": ('say(\'{"call": 2, "dtype": "<f8"}\', memory(8))', "no list"),
    "sends two descriptors": ("answer('<f8', [4], memory(32), memory(32))", "more than one descriptor"),
    "sends a flood of descriptors": (
        "answer('<f8', [4], *[os.dup(1) for _ in range(250)])",
        "more than one descriptor",
    ),
    "says object": ("answer('|O', [4], memory(32))", "neither number"),
    "says void": ("answer('|V8', [4], memory(32))", "neither number"),
    "says a dtype that is a list": ("answer([['a', '<f8']], [4], memory(32))", "neither number"),
    "says strings of a gigabyte": ("answer('<U268435456', [4], memory(32))", "neither number"),
    "says a shape of NaN": ("answer('<f8', [float('nan')], memory(32))", "something else than lengths"),
    "says a negative length": ("answer('<f8', [-4], memory(32))", "something else than lengths"),
    "says a length of True": ("answer('<f8', [True], memory(8))", "something else than lengths"),
    "says a text as shape": ("answer('<f8', '4', memory(32))", "no list"),
    "says too many axes": ("answer('<f8', [1] * 40, memory(8))", "no list of at most"),
    "says a length beyond all": ("answer('<f8', [10 ** 30], memory(8))", "something else than lengths"),
    "says lengths whose product can't be printed": (
        "answer('<f8', [10 ** 4000, 10 ** 4000], memory(8))",
        "something else than lengths",
    ),
    "says more than a memory holds": ("answer('<f8', [2 ** 62] * 8, memory(8))", "at most 1048576"),
    "sends an error that is no text": ("say(json.dumps({'call': 2, 'error': [[]]}))", "no text"),
    "says an empty array of absurd shape": ("answer('<f8', [0, 2 ** 40, 2 ** 40], memory(0))", "at most 1048576"),
    "says more than the file has": ("answer('<f8', [5], memory(32))", "40 bytes in a memory file of 32"),
    "says less than the file has": ("answer('<f8', [3], memory(32))", "24 bytes in a memory file of 32"),
    "sends a gigabyte of nothing": ("answer('<f8', [2 ** 27], memory(2 ** 30))", "at most 1048576"),
    "can still cut its file short": ("answer('<f8', [4], memory(32, seals=False))", "not sealed"),
    "sends a pipe": ("answer('<f8', [4], os.pipe()[0])", "no memory file"),
    "sends the socket itself": ("answer('<f8', [4], s.fileno())", "no memory file"),
    "sends an endless device": ("answer('<f8', [4], os.open('/dev/zero', os.O_RDONLY))", "no memory file"),
    "sends an ordinary file": (
        "f = open('x', 'wb+'); f.write(bytes(32)); f.flush(); answer('<f8', [4], f.fileno())",
        "no memory file",
    ),
    "sends impossible strings": (
        "import fcntl; d = memory(8, seals=False); os.pwrite(d, b'\\xff' * 8, 0);"
        "fcntl.fcntl(d, fcntl.F_ADD_SEALS, 14); answer('<U2', [1], d)",
        "code points that do not exist",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_model_that_garbles_the_protocol_is_ended(make, attack):
    statement, complaint = ATTACKS[attack]
    body = f"def predict(self, X):\n{textwrap.indent(MEMORY, '    ')}\n    {statement}\n    time.sleep(60)"
    with make(body, limits=ModelLimits(seconds=20, output_bytes=2**20)) as model:
        start = time.monotonic()
        with pytest.raises(ModelError, match=complaint) as caught:
            model.call("predict", ROWS)
        assert not isinstance(caught.value, ModelTimeout)
        assert time.monotonic() - start < 5.0
        assert model.ended


def test_truth_values_are_only_ever_0_or_1(make):
    statement = """
import fcntl
d = memory(3, seals=False)
os.pwrite(d, bytes([0, 1, 255]), 0)
fcntl.fcntl(d, fcntl.F_ADD_SEALS, 14)
answer('|b1', [3], d)
time.sleep(60)
"""
    body = f"def predict(self, X):\n{textwrap.indent(MEMORY + statement, '    ')}"
    with make(body) as model:
        assert model.call("predict", ROWS).view(np.uint8).tolist() == [0, 1, 1]


def test_a_model_that_floods_the_socket_is_ended(make):
    flood = 'while True: s.send(b\'{"call": 2, "error": "again"}\')'
    body = f"def predict(self, X):\n{textwrap.indent(MEMORY + flood, '    ')}\ndef other(self, X): return X"
    with make(body) as model:
        with pytest.raises(ModelError, match="again"):
            model.call("predict", ROWS)
        with pytest.raises(ModelError, match="another call"):
            model.call("other", ROWS)


def test_a_fork_that_comes_back_from_predict_does_not_answer_as_well(make):
    with make("def predict(self, X): os.fork(); return X") as model:
        for _ in range(3):
            np.testing.assert_array_equal(model.call("predict", ROWS), ROWS)


# A child in a session of its own and an orphan of an orphan, both without the environment and deaf to SIGTERM.
ORPHANS = """
def orphans(self, environment):
    code = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "open(f'orphan{os.getpid()}', 'w').close(); time.sleep(300)  # MARK"
    )
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True, env=environment)
    subprocess.run(["/bin/sh", "-c", 'setsid "$0" -c "$1" &', sys.executable, code], env=environment)
    while sum(name.startswith("orphan") for name in os.listdir()) < 2:
        time.sleep(0.01)
    return [2]
def predict(self, X): return self.orphans({"PATH": os.defpath})
"""


@pytest.fixture(name="mark")
def unique_mark():
    """Stands in the command line of the orphans, by which they can be found."""
    mark = f"mark-{secrets.token_hex(8)}"
    yield mark
    assert not alive_with(mark)


def test_close_ends_children_that_have_left_the_session(make, mark, level):
    with make(ORPHANS.replace("MARK", mark)) as model:
        model.call("predict", ROWS)
        assert len(alive_with(mark)) == 2
        assert model.isolation == level
    assert not alive_with(mark)


@pytest.mark.parametrize("end", ["os.abort()", "time.sleep(60)", "os._exit(0)"])
def test_a_crash_or_a_timeout_ends_children_that_have_left_the_session(make, mark, end, level):
    body = ORPHANS.replace("MARK", mark) + f"def attack(self, X): self.predict(X); print('both live'); {end}"
    with make(body, limits=ModelLimits(seconds=4)) as model, pytest.raises(ModelError, match="both live"):
        model.call("attack", ROWS)
    assert not alive_with(mark)


def test_a_forgotten_process_is_ended(tmp_path, mark):
    with nothing_left():
        folder = write_model(tmp_path, ORPHANS.replace("MARK", mark))
        model = ModelProcess(folder, ModelDescription(), limits=QUICK)
        model.call("predict", ROWS)
        assert len(alive_with(mark)) == 2
        del model
        gc.collect()
        assert not alive_with(mark)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_model_can_not_stop_its_supervisor(make, mark, number, level):
    body = f"""
def attack(self, X):
    self.orphans(None)
    print("both live")
    try:
        os.kill(os.getppid(), {number.value})
    except OSError:
        print("refused")
    time.sleep(60)
"""
    model = make(ORPHANS.replace("MARK", mark) + body, limits=ModelLimits(seconds=4))
    start = time.monotonic()
    with pytest.raises(ModelError, match="took too long") as caught:
        model.call("attack", ROWS)
    # In namespaces its parent is the first process there, which is deaf to both, even where nothing refuses them.
    assert "refused" in str(caught.value) or level == Isolation.NAMESPACE
    # Four for the limit, the rest for a busy machine.
    assert time.monotonic() - start < 8.0
    assert wait_until(lambda: not alive_with(mark))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_supervisor_that_somebody_stops_is_done_without(make, mark, number, level):
    # Where there are no namespaces, the host then finds them by their environment.
    body = ORPHANS.replace("MARK", mark) + "def attack(self, X): return self.orphans(None)"
    with make(body, limits=ModelLimits(seconds=20)) as model:
        model.call("attack", ROWS)
        assert len(alive_with(mark)) == 2
        os.kill(model._tree._supervisor.pid, number)
    assert wait_until(lambda: not alive_with(mark))


# What a host does once its model has started processes.
HOST = """
import gc, os, sys, time
import numpy as np
from learndock.runtime import ModelDescription, ModelProcess
model = ModelProcess(sys.argv[1], ModelDescription())
print(*model.call("predict", np.ones((2, 3))).tolist(), flush=True)
input()
"""


def start_host(folder, then):
    # In Python 3.12, a fork of a process with threads warns.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", HOST + textwrap.dedent(then), str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "then",
    ["os.kill(os.getpid(), 9)", "sys.exit()", "fork = os.fork(); os.kill(os.getpid(), 9) if fork else time.sleep(3)"],
    ids=["killed", "exit", "killed, its fork lives on"],
)
def test_the_death_of_the_host_ends_the_model_and_removes_its_folder(tmp_path, mark, then):
    folder = write_model(tmp_path, ORPHANS.replace("MARK", mark))
    with nothing_left() as temporary:
        with start_host(folder, then) as host:
            assert host.stdout.readline() == "2\n"
            assert len(alive_with(mark)) == 2
            host.communicate("\n")
            assert wait_until(lambda: not alive_with(mark))
        assert wait_until(lambda: not list(temporary.iterdir()))


def test_a_fork_of_the_host_leaves_the_parents_model_alone(tmp_path):
    then = """
    fork = os.fork()
    if fork == 0:
        try:
            model.call("predict", np.ones((1, 3)))
        except Exception as error:
            print(error, flush=True)
        model.close()
        del model
        gc.collect()
        sys.exit()
    os.waitpid(fork, 0)
    print(*model.call("predict", np.ones((1, 3))).tolist())
    """
    with start_host(write_model(tmp_path, "def predict(self, X): return [os.getpid()]"), then) as host:
        first, complaint, second = host.communicate("\n")[0].splitlines()
    assert "belongs to the process that this one was forked from" in complaint
    assert first == second
