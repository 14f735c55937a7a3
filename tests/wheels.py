"""Distributions written for a test, and a folder of them that the installers take for the index."""

from __future__ import annotations

import io
import tarfile
import urllib.request
import zipfile
from pathlib import Path

import pytest


def write_wheel(folder: Path, name: str, version: str = "1.0", files: dict[str, str] | None = None) -> Path:
    """Write a wheel with a module of its name, and other files."""
    info = f"{name}-{version}.dist-info"
    content = {
        f"{name}/__init__.py": f"__version__ = {version!r}\n",
        **(files or {}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*content, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in content.items():
            archive.writestr(file, text)
    return path


def write_sdist(folder: Path, name: str, setup: str, version: str = "1.0") -> Path:
    """Write a source distribution with a setup.py."""
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        for file, text in {"setup.py": setup, "PKG-INFO": metadata}.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{file}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that uv and pip take distributions from, and from nowhere else; a NumPy that is none lies there."""
    folder = tmp_path / "index"
    folder.mkdir()
    write_wheel(folder, "numpy")
    settings = tmp_path / "uv.toml"
    settings.write_text(f"no-index = true\nfind-links = [{str(folder)!r}]\n")
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "UV_CONFIG_FILE": str(settings),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
    }.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def network():
    """Skip a test where the real index can't be reached."""
    try:
        with urllib.request.urlopen("https://pypi.org/simple/six/", timeout=10):
            pass
    except OSError as error:
        pytest.skip(f"pypi.org can't be reached: {error}")
