"""Headers of NumPy's format: what NumPy's reader says of those that it writes, without a parser that hangs or races."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from learndock._npy import array_header


def described(header, version=(1, 0)):
    """A file that begins with these words."""
    text = header.encode("latin-1")
    length = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    return io.BytesIO(b"\x93NUMPY" + bytes(version) + length + text)


def written(array):
    file = io.BytesIO()
    np.save(file, array)
    file.seek(0)
    return file


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "|i1", "<i8", "<u2", "|b1", "<U7", "<f2"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (1, 2, 3, 4)])
def test_what_numpy_writes_is_read(dtype, shape):
    for array in (np.zeros(shape, dtype), np.asfortranarray(np.zeros(shape, dtype))):
        file = written(array)
        found = array_header(file)
        file_of_numpy = written(array)
        np.lib.format.read_magic(file_of_numpy)
        assert found == np.lib.format.read_array_header_1_0(file_of_numpy)
        assert file.tell() == file_of_numpy.tell()


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,4), }",
        "{'shape': (3, 4), 'descr': '<f4', 'fortran_order': False}\n",
        '{"descr":"<f4","fortran_order":False,"shape":(3L,4L)}',
        "  { 'fortran_order' : False , 'descr' : '<f4' , 'shape' : ( 3 , 4 , ) , }  ",
    ],
)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_others_may_write_the_items_as_they_like(header, version):
    assert array_header(described(header, version)) == ((3, 4), False, np.dtype("<f4"))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{}",
        "{",
        "}",
        "'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, -4)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4.5)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3 4)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 3}",
        "{'descr': '<f4', 'fortran_order': 'False', 'shape': (3,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} or {}",
        "{'descr': '<f4' 'fortran_order': False, 'shape': (3,)}",
        "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '(3,)f4', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 4000 + "x)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1" * 8000 + "x)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + " " * 8000 + "x)}",
        "(" * 9000,
    ],
)
def test_what_describes_no_array_is_an_error(header):
    with pytest.raises(ValueError, match="header"):
        array_header(described(header))


def test_a_dtype_that_numpy_lacks_is_an_error():
    with pytest.raises(TypeError):
        array_header(described("{'descr': '<Z9', 'fortran_order': False, 'shape': (3,)}"))


def test_a_file_that_ends_early_is_an_error():
    whole = written(np.zeros(3)).getvalue()
    for length in range(128):
        with pytest.raises(ValueError, match=r"magic|header"):
            array_header(io.BytesIO(whole[:length]))


def test_a_header_is_not_read_beyond_its_limit():
    with pytest.raises(ValueError, match="at most 10000"):
        array_header(io.BytesIO(b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little")))


def test_threads_read_at_once():
    """Python's compiler, which NumPy's reader asks, counts its depth for all threads together (3.11, 3.12)."""
    content = written(np.zeros((4, 5), np.float32)).getvalue()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: array_header(io.BytesIO(content)), range(5000)))
    assert set(found) == {((4, 5), False, np.dtype(np.float32))}
