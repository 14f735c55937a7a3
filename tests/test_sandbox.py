"""What contains a model: each attack is tried at each level that this machine has, and the host looked at after it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from leaks import wait_until
from learndock.errors import InvalidArgument, IsolationUnavailable, ModelError
from learndock.runtime import Isolation, ModelDescription, ModelLimits, ModelProcess, available_isolation
from learndock.runtime.guard.headroom import Headroom, disk_left, memory_left
from learndock.runtime.guard.landlock import abi_version
from learndock.runtime.readable import readable_paths
from model_folders import level_of_isolation, model_maker, write_model  # noqa: F401 (fixtures)

ROWS = np.arange(12.0).reshape(4, 3)
PROCESS, LANDLOCK, NAMESPACE = Isolation
# A model of root's has lost root's capabilities, and may therefore not look into its processes.
TRACING = set() if os.getuid() == 0 else {PROCESS}

# In namespaces its parent is the first process, whom no signal of the model's can harm; Landlock 6 refuses to send it.
DEAF = {NAMESPACE} if abi_version() < 6 else set()

# What a model tries, and the levels at which nothing stops it. Each is run in a function that knows the host's process
# id (`host`), a folder of the host's with a file "secret" in it (`outside`), the port of a server on loopback (`port`),
# a file of the user's (`own`), its own folder (`code`), and a disk; it fails by an exception or a false answer.
ATTACKS = {
    # Files
    "reads a file of the host": ("return open(f'{outside}/secret').read() == 'secret'", {PROCESS}),
    "reads a file of the host by a link": (
        "os.symlink(f'{outside}/secret', 'link'); return open('link').read()",
        {PROCESS},
    ),
    "lists a folder of the host": ("return 'secret' in os.listdir(outside)", {PROCESS}),
    "reads a file of the user's": ("return open(own, 'rb').read(1) is not None", {PROCESS}),
    "reads the host's passwords": ("return 'root' in open('/etc/passwd').read()", {PROCESS}),
    "writes a new file outside": ("open(f'{outside}/new', 'w').write('x'); return True", {PROCESS}),
    "overwrites a file outside": ("open(f'{outside}/secret', 'w').write('x'); return True", {PROCESS}),
    "truncates a file outside": ("os.truncate(f'{outside}/secret', 0); return True", {PROCESS}),
    "removes a file outside": ("os.remove(f'{outside}/secret'); return True", {PROCESS}),
    "renames a file outside": ("os.rename(f'{outside}/secret', f'{outside}/x'); return True", {PROCESS}),
    "moves a file of the host into its folder": ("os.rename(f'{outside}/secret', 'x'); return True", {PROCESS}),
    "links a file of the host into its folder": ("os.link(f'{outside}/secret', 'x'); return True", {PROCESS}),
    "makes a folder outside": ("os.mkdir(f'{outside}/folder'); return True", {PROCESS}),
    "changes a file's mode outside": ("os.chmod(f'{outside}/secret', 0o777); return True", set()),
    "changes a file's times outside": ("os.utime(f'{outside}/secret', (0, 0)); return True", set()),
    "changes a file's owner outside": ("os.chown(f'{outside}/secret', 65534, 65534); return True", set()),
    "sets a file's attribute outside": ("os.setxattr(f'{outside}/secret', 'user.x', b'x'); return True", set()),
    "changes its code's mode by a descriptor": (
        "os.fchmod(os.open(f'{code}/__init__.py', os.O_RDONLY), 0o600); return True",
        set(),
    ),
    "changes its code's owner by a descriptor": (
        "os.fchown(os.open(f'{code}/__init__.py', os.O_RDONLY), os.getuid(), -1); return True",
        set(),
    ),
    "changes its code's times by a descriptor": (
        "os.utime(os.open(f'{code}/__init__.py', os.O_RDONLY)); return True",
        set(),
    ),
    "sets its code's attribute by a descriptor": (
        "os.setxattr(os.open(f'{code}/__init__.py', os.O_RDONLY), 'user.x', b'x'); return True",
        set(),
    ),
    "changes a device's mode": ("os.chmod('/dev/full', 0o666); return True", set()),
    "changes a device's times": ("os.utime('/dev/full'); return True", set()),
    "changes its input's mode": ("os.fchmod(0, 0o666); return True", set()),
    "takes room at once": (
        "return syscall('fallocate', os.open('x', os.O_RDWR | os.O_CREAT), 1, 0, 2**24) == 0",
        set(),
    ),
    "takes room by a request": (
        "fcntl.ioctl(os.open('x', os.O_RDWR | os.O_CREAT), 0x4030582A, bytes(16) + b'\\0\\0\\0\\1' + bytes(28))\n"
        "return True",
        set(),
    ),
    "changes flags of its code": (
        "fcntl.ioctl(os.open(f'{code}/__init__.py', os.O_RDONLY), 0x40086602, b'\\x40' + bytes(7)); return True",
        set(),
    ),
    "writes to its own code": ("open(f'{code}/__init__.py', 'a').write('x'); return True", {PROCESS}),
    "writes beside its interpreter": (
        "open(os.path.join(os.path.dirname(np.__file__), 'new-file'), 'w').close(); return True",
        {PROCESS} if os.access(Path(np.__file__).parent, os.W_OK) else set(),
    ),
    "writes to /usr": (
        "open('/usr/lib/new-file', 'w').close(); return True",
        {PROCESS} if os.access("/usr/lib", os.W_OK) else set(),
    ),
    "opens a file by its handle": ("return syscall('open_by_handle_at', -100, 0, 0)", set()),
    # Settings of the machine
    "writes a setting of the kernel": ("open('/proc/sys/kernel/core_pattern', 'r+').write('x'); return True", None),
    "triggers the kernel": ("open('/proc/sysrq-trigger', 'w').write('h'); return True", None),
    "reads the memory of the kernel": ("return open('/proc/kcore', 'rb').read(4)", None),
    "makes a device": (
        "os.mknod('device', 0o60660, os.makedev(254, 0)); open('device', 'rb').read(1); return True",
        set(),
    ),
    "reads a disk": ("return open(disk, 'rb').read(16) if disk else False", None),
    "sets the clock": ("time.clock_settime(time.CLOCK_REALTIME, 0); return True", set()),
    "names the machine": ("socket.sethostname('model'); return True", set()),
    # Other processes
    "signals the host": ("os.kill(host, 0); return True", set()),
    "kills its parent": ("os.kill(os.getppid(), 9); return True", DEAF),
    "kills its parent by its number as a thread": ("return syscall('tkill', os.getppid(), 9) == 0", DEAF),
    "kills its parent by a descriptor": (
        "signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9); return True",
        DEAF,
    ),
    "has the kernel signal its parent": (
        "fcntl.fcntl(socket.socketpair()[0], fcntl.F_SETOWN, os.getppid()); return True",
        {NAMESPACE},
    ),
    "reads the host's environment": ("return open(f'/proc/{host}/environ', 'rb').read()", TRACING),
    "reads the host's descriptors": ("return os.readlink(f'/proc/{host}/fd/0')", TRACING),
    "reads the host's memory": ("return open(f'/proc/{host}/mem', 'rb').seek(0) == 0", TRACING),
    "traces the host": ("return syscall('ptrace', 16, host, 0, 0) == 0", set()),
    "limits the host": ("resource.prlimit(host, resource.RLIMIT_NOFILE, (3, 3)); return True", set()),
    "slows the host down": ("os.setpriority(os.PRIO_PROCESS, host, 19); return True", set()),
    # The network
    "connects to a server": ("socket.create_connection(('127.0.0.1', port), 2); return True", set()),
    "waits for connections": ("s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); return True", set()),
    "sends a datagram": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); return s.sendto(b'x', ('127.0.0.1', port))",
        set(),
    ),
    "sends raw packets": ("return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 768)", set()),
    "reaches the hypervisor": ("return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)", set()),
    "connects to a service of the host": (
        "s = socket.socket(socket.AF_UNIX); s.connect(f'{outside}/service'); return True",
        set(),
    ),
    "connects to an abstract socket": (
        "s = socket.socket(socket.AF_UNIX); s.connect('\\0learndock-test-' + str(host)); return True",
        set(),
    ),
    "sends a datagram to a service of the host": (
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); return s.sendto(b'x', f'{outside}/mailbox')",
        set(),
    ),
    "sends a datagram by one of a pair": (
        "s, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); return s.sendto(b'x', f'{outside}/mailbox')",
        set(),
    ),
    # Ways out
    "makes a user namespace": ("return syscall('unshare', 0x10000000) == 0", set()),
    "clones into a namespace": ("return syscall('clone', 0x10000000 | 17, 0, 0, 0, 0) == 0", set()),
    "clones in the new way": ("return syscall('clone3', 0, 0) == 0", set()),
    "enters the host's namespaces": ("return syscall('setns', os.open('/proc/1/ns/net', os.O_RDONLY), 0) == 0", set()),
    "mounts": ("return syscall('mount', 0, 0, 0, 0, 0) == 0", set()),
    "changes its root": ("os.chroot('.'); return True", set()),
    "uses io_uring": ("return syscall('io_uring_setup', 1, 0) >= 0", set()),
    "loads a program into the kernel": ("return syscall('bpf', 0, 0, 0) >= 0", set()),
    "counts the processor's events": ("return syscall('perf_event_open', 0, 0, 0, 0, 0) >= 0", set()),
    "handles page faults": ("return syscall('userfaultfd', 0) >= 0", set()),
    "uses the kernel's keys": ("return syscall('keyctl', 0, -3, 1) >= 0", set()),
    "takes System V memory": ("return syscall('shmget', 0, 4096, 0o1600) >= 0", {NAMESPACE}),
    "raises its limits": ("resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1)); return True", set()),
    "becomes root": ("os.setuid(0); return True", {LANDLOCK, PROCESS} if os.getuid() == 0 else set()),
}

# x86-64's number, and that of aarch64 and the architectures after it.
NUMBERS = {
    "bpf": (321, 280),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fallocate": (285, 47),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "open_by_handle_at": (304, 265),
    "perf_event_open": (298, 241),
    "ptrace": (101, 117),
    "setns": (308, 268),
    "shmget": (29, 194),
    "tkill": (200, 130),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}

TRY = """
def predict(self, X):
    known = json.loads("".join(map(chr, X[0].astype(int))))
    try:
        return [str(bool(attack(**known)))]
    except Exception as error:
        return [type(error).__name__ + ": " + str(error)]
"""
CODE = """
import ctypes, fcntl, json, os, resource, signal, socket, sys, time
import numpy as np
from learnware.model import BaseModel
libc = ctypes.CDLL(None, use_errno=True)
def syscall(name, *values):
    number = NUMBERS[name][os.uname().machine != "x86_64"]
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, values))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result
def attack(host, outside, port, own, code, disk):
ATTACK
class Model(BaseModel):
    def __init__(self): super().__init__((1,), (1,))
"""


@pytest.fixture(name="host")
def attacked_host(tmp_path, level):
    """Something of a host to attack, which must be unharmed when the test is over unless nothing contains the model."""
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / "secret"
    secret.write_text("secret")
    secret.chmod(0o640)
    before = (secret.stat().st_mode, secret.stat().st_mtime_ns, secret.stat().st_uid)
    intruders = [Path(np.__file__).with_name("new-file"), Path("/usr/lib/new-file")]
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as service,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mailbox,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        port = server.getsockname()[1]
        datagrams.bind(("127.0.0.1", port))
        service.bind(str(outside / "service"))
        service.listen()
        mailbox.bind(str(outside / "mailbox"))
        abstract.bind(f"\0learndock-test-{os.getpid()}")
        abstract.listen()
        disks = [str(path) for path in sorted(Path("/dev").iterdir()) if path.is_block_device()]
        own = tmp_path / "own"
        own.write_text("of the user")
        yield {
            "host": os.getpid(),
            "outside": str(outside),
            "port": port,
            "own": str(own),
            "code": str(tmp_path / "model0"),
            "disk": disks[0] if disks else "",
        }
    found = [path for path in intruders if path.exists()]
    for path in found:
        path.unlink()
    if level > PROCESS:
        assert not found
        assert sorted(os.listdir(outside)) == ["mailbox", "secret", "service"]
        assert secret.read_text() == "secret"
        after = secret.stat()
        assert (after.st_mode, after.st_mtime_ns, after.st_uid) == before


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_ends_at_the_walls_of_its_level(make, host, level, name):
    statement, stopped_nowhere_at = ATTACKS[name]
    if stopped_nowhere_at is None:
        if level == PROCESS:
            pytest.skip("not tried without containment: root's process might succeed, and harm this machine")
        stopped_nowhere_at = set()
    body = CODE.replace("NUMBERS", repr(NUMBERS)).replace("ATTACK", textwrap.indent(statement, "    "))
    files = {"__init__.py": body + textwrap.indent(TRY, "    ")}
    with make(files=files) as model:
        assert model.isolation == level
        answer = str(model.call("predict", np.array([[float(ord(char)) for char in json.dumps(host)]]))[0])
    assert (answer == "True") == (level in stopped_nowhere_at), answer


SWARM = """
def predict(self, X):
    import threading
    threading.stack_size(2**16)
    made = 0
    for _ in range(20000):
        try:
            threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
            made += 1
        except RuntimeError:
            break
    return [made]
"""
# Starts processes that go on when their first thread has ended, which makes a zombie of what /proc tells of first.
HEADLESS = """
import ctypes, threading
def child():
    threading.Thread(target=lambda: (np.ones(2**22), time.sleep(60))).start()
    time.sleep(0.01)
    ctypes.CDLL(None).syscall({"x86_64": 60}.get(os.uname().machine, 93), 0)
for _ in range(9):
    pid = os.fork()
    if pid == 0: child()
    while open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z": time.sleep(0.01)
time.sleep(60)
"""
USE_UP = {
    "forks": (
        "while True:\n    try: os.fork()\n    except OSError: pass",
        {"processes": 16},
        "more than 16 processes",
    ),
    "fills the disk with a file that has no name": (
        "f = open('x', 'wb'); os.unlink('x')\nwhile True: f.write(bytes(2**16)); f.flush(); time.sleep(0.005)",
        {"file_bytes": 2**22},
        "files without a name|File too large",
    ),
    "fills the disk with files that have no names": (
        "keep = []\nwhile True:\n    f = open('x', 'wb'); os.unlink('x'); f.write(bytes(2**20)); f.flush()\n"
        "    keep.append(f); time.sleep(0.02)",
        {"file_bytes": 2**22},
        "files without a name",
    ),
    "fills the disk in a folder that can't be looked into": (
        "os.mkdir('d', 0o300)\nfor i in range(10**6): open(f'd/{i}', 'wb').write(bytes(2**18)); time.sleep(0.005)",
        {"file_bytes": 2**22},
        "can't be looked into|folder held more than",
    ),
    "hides processes by ending their first threads": (HEADLESS, {"processes": 4}, "more than 4 processes"),
    "hides memory by ending first threads": (HEADLESS, {"memory_bytes": 2**28}, "bytes of memory"),
    "eats memory in memory files": (
        "keep = []\nwhile True:\n    d = os.memfd_create('x'); os.write(d, bytes(2**22)); keep.append(d)\n"
        "    time.sleep(0.02)",
        {"memory_bytes": 2**28, "file_bytes": 2**23},
        "bytes of memory",
    ),
    "eats memory": (
        "keep = []\nwhile True: keep.append(np.ones(2**18))",
        {"memory_bytes": 2**28},
        "MemoryError|allocate",
    ),
    "computes without end": ("while True: pass", {"seconds": 2.0}, "took too long"),
    "sleeps": ("time.sleep(600)", {"seconds": 2.0}, "took too long"),
    "prints without end": ("while True: os.write(1, b'x' * 65536)", {"seconds": 2.0}, "took too long"),
    "returns objects": ("return np.array([object()] * 4)", {}, "dtype object"),
    "returns text and numbers": ("return np.array([1, 'a', None, 2.0], dtype=object)", {}, "dtype object"),
    "returns nothing": ("return None", {}, "returned None"),
    "returns itself": ("return self", {}, "dtype object"),
    "ends": ("os._exit(3)", {}, "exit status 3"),
    "kills itself": ("os.kill(os.getpid(), 9)", {}, "SIGKILL"),
    "kills its group": ("os.killpg(0, 9)", {}, "SIGKILL"),
}


@pytest.mark.parametrize("name", USE_UP)
def test_what_a_model_uses_up_ends_it_and_nothing_else(make, level, name):
    statement, limits, message = USE_UP[name]
    body = "def predict(self, X):\n" + textwrap.indent(statement, "    ")
    with (
        make(body, limits=ModelLimits(**{"seconds": 20.0, **limits})) as model,
        pytest.raises(ModelError, match=message),
    ):
        model.call("predict", ROWS)


def test_killing_everybody_reaches_nobody_but_the_model(make, level):
    body = """
    def predict(self, X):
        try:
            os.kill(-1, 9)
        except OSError as error:
            return [error.strerror]
        return ["nobody was left"]
    """
    with make(body) as model:
        # In a namespace -1 is all but the caller and the first process; else the filter refuses it.
        expected = ["No such process", "nobody was left"] if level == NAMESPACE else ["Operation not permitted"]
        assert str(model.call("predict", ROWS)[0]) in expected


def test_threads_do_not_multiply_without_end(make, level):
    with make(SWARM, limits=ModelLimits(seconds=60.0, memory_bytes=2**33)) as model:
        if level == NAMESPACE or any("pids" in means for means in model.containment.means):
            assert int(model.call("predict", ROWS)[0]) <= 4096
        elif os.getuid() == 0:
            with pytest.raises(ModelError, match="more than 4096 threads"):
                model.call("predict", ROWS)
        else:
            # Either the limit of the user's tasks is met first, or that of the watch.
            with contextlib.suppress(ModelError):
                assert int(model.call("predict", ROWS)[0]) <= 4200


def test_processor_time_between_calls_is_limited(make, level):
    body = """
    def predict(self, X):
        if os.fork() == 0:
            while True: pass
        return X
    """
    with make(body, limits=ModelLimits(seconds=1.0)) as model:
        model.call("predict", ROWS)
        # A second of every processor is granted to a call; this fork goes on with one of them.
        assert wait_until(lambda: model._tree.ending() is not None, seconds=30.0)
        assert "s of every processor" in model._tree.ending().cause


def test_a_call_is_granted_processor_time_anew(make):
    body = """
    def predict(self, X):
        end = time.process_time() + 0.6
        while time.process_time() < end: pass
        return X
    """
    with make(body, limits=ModelLimits(seconds=1.5)) as model:
        for _ in range(2 * len(os.sched_getaffinity(0)) + 3):
            model.call("predict", ROWS)


def test_a_model_sees_its_own_processes_alone(make):
    if available_isolation().level < NAMESPACE:
        pytest.skip("this machine has no namespaces")
    with make("def predict(self, X): return [int(n) for n in os.listdir('/proc') if n.isdigit()]") as model:
        assert model.call("predict", ROWS).max() < 16


def test_a_model_finds_what_it_needs(make, level):
    body = """
    def predict(self, X):
        import getpass, multiprocessing, pathlib, sqlite3, ssl, subprocess, tempfile, zoneinfo
        assert pathlib.Path.home() == pathlib.Path.cwd()
        assert getpass.getuser() == "model"
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"x")
        open(os.path.expanduser("~/file"), "w").write("x")
        assert subprocess.run(["/bin/sh", "-c", "echo x | cat"], capture_output=True).stdout == b"x\\n"
        assert subprocess.run([sys.executable, "-c", "import numpy; print(1)"], capture_output=True).stdout == b"1\\n"
        open("/dev/null", "w").write("x")
        assert len(open("/dev/urandom", "rb").read(4)) == 4
        assert os.path.exists("/proc/self/status") and open("/proc/cpuinfo").read()
        return X
    """
    with make(body) as model:
        np.testing.assert_array_equal(model.call("predict", ROWS), ROWS)


def test_a_model_in_a_namespace_may_use_shared_memory_and_the_usual_folder(make):
    if available_isolation().level < NAMESPACE:
        pytest.skip("this machine has no namespaces")
    body = """
    def predict(self, X):
        import multiprocessing
        with multiprocessing.Lock():
            open("/tmp/file", "w").write("x")
        open("/dev/shm/file", "w").write("x")
        try:
            for _ in range(1024): open("/dev/shm/file", "a").write("x" * 2**20)
        except OSError as error:
            return [error.strerror]
    def files(self, X):
        try:
            for i in range(10**5): os.close(os.open(f"/dev/shm/{i}", os.O_CREAT))
        except OSError as error:
            return [error.strerror]
    """
    with make(body) as model:
        for method in ("predict", "files"):
            assert model.call(method, ROWS)[0] == "No space left on device"
    assert not Path("/tmp/file").exists()
    assert not Path("/dev/shm/file").exists()


def test_a_folder_behind_links_is_found(tmp_path):
    real = write_model(tmp_path / "real" / "model", "def predict(self, X): return X")
    (tmp_path / "a").symlink_to("real")
    (tmp_path / "b").symlink_to(tmp_path / "a" / "model")
    assert real.is_dir()
    with ModelProcess(tmp_path / "b", ModelDescription()) as model:
        np.testing.assert_array_equal(model.call("predict", ROWS), ROWS)


def test_an_interpreter_is_found_by_a_roundabout_path(tmp_path, level):
    folder = write_model(tmp_path / "model", "def predict(self, X): return X")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(Path(sys.executable).parent)
    up = "/.." * len((tmp_path / "elsewhere").parts[1:])
    for python in (f"{tmp_path}/elsewhere{up}{sys.executable}", f"{tmp_path}/link/{Path(sys.executable).name}"):
        with ModelProcess(folder, ModelDescription(), python=python) as model:
            np.testing.assert_array_equal(model.call("predict", ROWS), ROWS)


@pytest.mark.parametrize("request_", ["auto", "require", "landlock", "namespace"])
def test_a_model_is_not_started_below_the_level_that_is_required(tmp_path, level, request_):
    least = {"auto": PROCESS, "namespace": NAMESPACE}.get(request_, LANDLOCK)
    folder = write_model(tmp_path, "def predict(self, X): return X")
    model = ModelProcess(folder, ModelDescription(), isolation=request_)
    assert model.isolation is None
    try:
        if level < least:
            with pytest.raises(IsolationUnavailable, match="isolation: the model can't be contained .* no namespaces"):
                model.start()
            assert model.ended
        else:
            model.start()
            assert model.isolation == level
            assert str(model.containment).startswith(level.name.lower())
    finally:
        model.close()


# Where an operator forbids user namespaces, or where a container hides a part of /proc from its processes.
FORBIDDEN = {
    "user namespaces are not allowed": ("echo 0 > /proc/sys/user/max_user_namespaces", "no namespaces: unshare"),
    "a part of /proc is hidden": ("mount -t tmpfs none /proc/sys", "no namespaces: mount on /proc"),
}


@pytest.mark.parametrize("why", FORBIDDEN)
def test_where_there_are_no_namespaces_landlock_is_taken_and_the_reason_told(why):
    if available_isolation().level < NAMESPACE:
        pytest.skip("this machine has no namespaces to be forbidden")
    command, note = FORBIDDEN[why]
    code = "import json; from learndock.config import config; print(json.dumps(config()))"
    script = f'{command} && exec "$0" -c "$1"'
    answer = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, sys.executable, code], capture_output=True, text=True, check=True
    ).stdout
    found = json.loads(answer)
    assert found["isolation"] == ("landlock" if abi_version() else "process")
    assert any(note in lack for lack in found["isolation_lacks"])


@pytest.mark.parametrize("request_", ["none", "NAMESPACE", 2, None, ["auto"]])
def test_an_isolation_that_there_is_not_is_refused(tmp_path, request_):
    with pytest.raises(InvalidArgument, match="isolation: expected one of auto, require, landlock, namespace, got"):
        ModelProcess(tmp_path, ModelDescription(), isolation=request_)


def test_a_start_takes_little_longer_in_namespaces(make):
    start = time.monotonic()
    with make():
        pass
    # 0.2 s on an idle machine; what NumPy needs to be imported is the most of it.
    assert time.monotonic() - start < 10.0


def test_a_folder_for_temporary_files_among_what_is_readable_can_be_written_to(make, tmp_path, level, monkeypatch):
    inside = tmp_path / "model0" / "tmp"
    inside.mkdir(parents=True)
    model = make("def predict(self, X): open('x', 'w').close(); return [os.getcwd(), os.environ['TMPDIR']]")
    monkeypatch.setattr(tempfile, "tempdir", str(inside))
    with model:
        assert {Path(str(path)).parent for path in model.call("predict", ROWS)} == {inside}
    assert not list(inside.iterdir())


def test_the_supervisor_looks_for_nothing_in_the_models_folder(make, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", ":.:relative:/usr/lib:")
    with make("def predict(self, X): return [os.environ['LD_LIBRARY_PATH'], os.getcwd()]") as model:
        folders, home = map(str, model.call("predict", ROWS))
        supervisor = model._tree._supervisor.pid
        assert folders == "/usr/lib"
        # It shows nobody but root what it has open.
        if os.getuid() == 0:
            assert str(Path(f"/proc/{supervisor}/cwd").readlink()) == "/" != home


def test_what_lies_beside_a_link_to_an_interpreter_is_not_readable(tmp_path, monkeypatch):
    (tmp_path / ".local" / "bin").mkdir(parents=True)
    (tmp_path / ".local" / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    link = tmp_path / ".local" / "bin" / "python3"
    link.symlink_to(Path(sys.executable).resolve())
    paths = readable_paths(str(link))
    assert str(link) in paths
    assert f"{Path(sys.executable).resolve().parent.parent}/lib" in paths
    assert not [path for path in paths if path.startswith(str(tmp_path)) and path != str(link)]
    # Neither is what a virtual environment made of it names as its base.
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "pyvenv.cfg").write_text(f"home = {link.parent}\n")
    paths = readable_paths(str(tmp_path / "env" / "bin" / "python"))
    assert f"{tmp_path}/env/lib" in paths
    assert not [path for path in paths if path.startswith(f"{tmp_path}/.local")]


def test_no_path_opens_the_home_or_the_temporary_folder(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "lib").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    given = ["/", str(home), str(tmp_path), f"{home}/../home", f"{home}/lib", "/usr/lib"]
    monkeypatch.setenv("LD_LIBRARY_PATH", ":".join(given))
    paths = readable_paths(sys.executable)
    assert f"{home}/lib" in paths
    assert not {str(tmp_path), str(home), "/", f"{home}/../home"} & set(paths)


def test_a_library_of_the_hosts_does_not_open_its_folder(tmp_path):
    library = tmp_path / "libown.so"
    library.write_bytes(bytes(4096))
    code = (
        "import mmap, sys; from learndock.runtime.readable import readable_paths\n"
        f"file = open({str(library)!r}, 'rb'); mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)\n"
        "print(*readable_paths(sys.executable), sep='\\n')"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in answer.splitlines()
    assert any(path.endswith("site-packages") for path in answer.splitlines())


@pytest.mark.parametrize(
    ("memory", "disk", "reason"),
    [
        ((4, 100), (50, 100), "out of memory"),
        ((50, 100), (4, 100), "running full"),
        ((4, 4), (4, 4), None),  # that little was there at first
        ((20, 100), (20, 100), None),  # enough is left
    ],
)
def test_a_model_is_ended_when_the_machine_has_little_left(monkeypatch, memory, disk, reason):
    monkeypatch.setattr("learndock.runtime.guard.headroom.memory_left", lambda: (memory[1] - 30.0, 100.0))
    monkeypatch.setattr("learndock.runtime.guard.headroom.disk_left", lambda folder: (disk[1] - 30.0, 100.0))
    headroom = Headroom("/", memory_bytes=10, file_bytes=10)
    monkeypatch.setattr("learndock.runtime.guard.headroom.memory_left", lambda: (float(memory[0]), 100.0))
    monkeypatch.setattr("learndock.runtime.guard.headroom.disk_left", lambda folder: (float(disk[0]), 100.0))
    found = headroom.passed()
    assert found is None if reason is None else reason in found


def test_what_the_machine_has_left_is_found(tmp_path):
    for left, total in (memory_left(), disk_left(str(tmp_path))):
        assert 0 < left < total
    assert disk_left(str(tmp_path / "absent")) == (0, 0)


# Fills a small disk with what no look at folders and descriptors finds: files without names, held by a mapping.
HIDDEN_FILES = """
def predict(self, X):
    import ctypes
    libc = ctypes.CDLL(None)
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    while True:
        file = os.open("x", os.O_RDWR | os.O_CREAT); os.unlink("x")
        try:
            os.write(file, bytes(2**18))
        except OSError:  # nothing is left: it goes on, so that a late look finds it so
            pass
        libc.mmap(None, 4096, 1, 2, file, 0); os.close(file)
        time.sleep(0.01)
"""
FULL = """
import sys
import numpy as np
from learndock.errors import ModelError
from learndock.runtime import ModelDescription, ModelLimits, ModelProcess
with ModelProcess(sys.argv[1], ModelDescription(), limits=ModelLimits(seconds=30.0, file_bytes=2**22)) as model:
    try:
        model.call("predict", np.ones((1, 3)))
    except ModelError as error:
        print(error)
"""


def test_a_disk_is_not_filled_by_files_that_nobody_finds(tmp_path):
    if available_isolation().level < NAMESPACE:
        pytest.skip("this machine has no namespaces to mount a small disk in")
    folder = write_model(tmp_path / "model", HIDDEN_FILES)
    disk = tmp_path / "disk"
    disk.mkdir()
    script = 'mount -t tmpfs -o size=32m none "$0" && TMPDIR="$0" exec "$1" -c "$2" "$3"'
    command = ["unshare", "-Urm", "sh", "-c", script, str(disk), sys.executable, FULL, str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "the disk of its temporary folder was running full" in answer
