"""The file system that a model sees: a new root with the few folders it may read, its own scratch, and nothing else."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterable

from .syscalls import mount, pivot_root, set_mount_attributes, unmount

__all__ = ["enter_new_root", "seal_root"]

_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_ATTR_READONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_OLD = "/.old"
_MOST_LINKS = 40
_DEVICES = ("null", "zero", "full", "random", "urandom")
_GPU_PREFIX = "nvidia"
_SHARED_FILES = 16384
_ETC_FILES = {
    "passwd": "model:x:1000:1000::/tmp:/bin/false\n",
    "group": "model:x:1000:\n",
    "hosts": "127.0.0.1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


def enter_new_root(*, readable: Iterable[str], scratch: str, shared_memory_bytes: int) -> None:
    """Build the new root and leave the old one; needs a mount namespace of its own.

    Paths stay what they are: a folder lies in the new root where it lay in the old one, links on the way included.

    Parameters
    ----------
    readable : iterable of str
        Files and folders to show, read-only; missing ones are passed over.
    scratch : str
        The folder to write to. It is also /tmp, by its folder "tmp".
    shared_memory_bytes : int
        Size of /dev/shm.
    """
    # Nothing that is mounted here may appear on the host.
    mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    # Mounted over the scratch folder only until it becomes the root, from where the folder is seen again.
    mount("tmpfs", scratch, "tmpfs", _NOSUID | _NODEV, "mode=755,size=1m")
    os.mkdir(scratch + _OLD)
    pivot_root(scratch, scratch + _OLD)
    os.chdir("/")
    _make_directory("/tmp")
    own_tmp = posixpath.join(scratch, "tmp")
    os.makedirs(_OLD + own_tmp, mode=0o700, exist_ok=True)
    mount(_OLD + own_tmp, "/tmp", None, _MS_BIND)
    set_mount_attributes("/tmp", _ATTR_NOSUID | _ATTR_NODEV, recursive=False)
    for path in readable:
        _show(path, attributes=_ATTR_READONLY | _ATTR_NOSUID | _ATTR_NODEV)
    # Last: what is readable may hold it.
    _show(scratch, attributes=_ATTR_NOSUID | _ATTR_NODEV, again=True)
    _make_devices(shared_memory_bytes)
    for name, text in _ETC_FILES.items():
        _write_file(posixpath.join("/etc", name), text)
    # The caller has a process namespace of its own.
    _make_directory("/proc")
    mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    unmount(_OLD)
    os.rmdir(_OLD)


def seal_root() -> None:
    """Make all but the scratch folders read-only."""
    for path in ("/", "/proc", "/dev"):
        set_mount_attributes(path, _ATTR_READONLY, recursive=False)


def _show(path: str, *, attributes: int, again: bool = False) -> None:
    """Bind a file or folder of the old root to the same path of the new one, even if it is seen there already."""
    target = _real_path(path)
    if target is None or target == "/" or (_is_shown(target) and not again):
        return
    source = _OLD + target
    if os.path.isdir(source):
        _make_directory(target)
    elif not os.path.lexists(target):
        _write_file(target, "")
    mount(source, target, None, _MS_BIND | _MS_REC)
    set_mount_attributes(target, attributes, recursive=True)


def _is_shown(target: str) -> bool:
    """Whether the new root has the very file of the old one already, by a folder above it."""
    try:
        new, old = os.lstat(target), os.lstat(_OLD + target)
    except OSError:
        return False
    return (new.st_dev, new.st_ino) == (old.st_dev, old.st_ino)


def _real_path(path: str) -> str | None:
    """Follow the links of the old root, making each in the new one; None where there is nothing."""
    waiting = [part for part in reversed(path.split("/")) if part]
    here, links = "/", 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            here = posixpath.dirname(here)
            continue
        step = posixpath.join(here, part)
        try:
            link = os.readlink(_OLD + step)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: it is no link
                return None
            here = step
            continue
        links += 1
        if links > _MOST_LINKS:
            return None
        _make_directory(here)
        if not os.path.lexists(step):
            os.symlink(link, step)
        waiting += [part for part in reversed(link.split("/")) if part and part != "."]
        if link.startswith("/"):
            here = "/"
    return here


def _make_directory(path: str) -> None:
    os.makedirs(path, mode=0o755, exist_ok=True)


def _write_file(path: str, text: str) -> None:
    _make_directory(posixpath.dirname(path))
    with open(path, "w") as file:
        file.write(text)


def _make_devices(shared_memory_bytes: int) -> None:
    _make_directory("/dev")
    mount("tmpfs", "/dev", "tmpfs", _NOSUID | _NOEXEC, "mode=755,size=64k")
    names = [*_DEVICES, *(name for name in sorted(os.listdir(_OLD + "/dev")) if name.startswith(_GPU_PREFIX))]
    for name in names:
        # The folder nvidia-caps is no device and not needed to compute.
        if not os.path.isdir(f"{_OLD}/dev/{name}"):
            _write_file(f"/dev/{name}", "")
            mount(f"{_OLD}/dev/{name}", f"/dev/{name}", None, _MS_BIND)
            # The device can be written to, its mode and times can't be changed.
            set_mount_attributes(f"/dev/{name}", _ATTR_READONLY, recursive=False)
    for name, link in {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}.items():
        os.symlink(f"/proc/self/fd{link}", f"/dev/{name}")
    _make_directory("/dev/shm")
    # Empty files take memory too, which the size does not count.
    options = f"mode=700,size={shared_memory_bytes},nr_inodes={_SHARED_FILES}"
    mount("tmpfs", "/dev/shm", "tmpfs", _NOSUID | _NODEV | _NOEXEC, options)
