"""What callers get wrong: every error is an InvalidArgument that names the argument, and nothing is changed."""

from __future__ import annotations

import contextlib
import copy
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from learndock import kernels
from learndock.errors import InvalidArgument, LearndockError, SpecificationMismatch

Z = np.arange(12.0).reshape(6, 2) / 7
W = np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.1])
PACKED = kernels.pack([Z, Z[:3]], [W, W[:3]])
GRAM = np.exp(-0.1 * ((Z[:, None] - Z[None]) ** 2).sum(axis=2))

# Every public function with good arguments; each test breaks one of them.
CALLS = {
    "inner": (
        kernels.inner,
        {"points": Z, "weights": W, "other_points": Z + 1, "other_weights": W, "gamma": 0.1},
    ),
    "inner with offsets": (
        kernels.inner,
        {
            "points": Z,
            "weights": W,
            "other_points": Z + 1,
            "other_weights": W,
            "gamma": 0.1,
            "offsets": [0, 2, 6],
            "other_offsets": [0, 6],
        },
    ),
    "pack": (kernels.pack, {"points": [Z, Z[:3]], "weights": [W, W[:3]]}),
    "pack with offsets": (kernels.pack, {"points": Z, "weights": W, "offsets": [0, 2, 6]}),
    "pack of an array": (kernels.pack, {"points": np.stack([Z, Z]), "weights": np.stack([W, W])}),
    "mmd2": (kernels.mmd2, {"queries": [(Z, W)], "packed": PACKED, "gamma": 0.1}),
    "self_inner": (PACKED.self_inner, {"gamma": 0.1}),
    "embed": (kernels.embed, {"points": Z, "weights": W, "at": Z + 1, "gamma": 0.1}),
    "local_losses": (kernels.local_losses, {"X": Z + 1, "sketches": [(Z, W, W, np.stack([W, W], 1))], "gamma": 0.1}),
    "simplex_qp": (kernels.simplex_qp, {"K": GRAM, "c": W}),
    "herd": (kernels.herd, {"candidates": Z, "mean": W, "n": 3, "gamma": 0.1}),
    "herd_data": (kernels.herd_data, {"X": Z, "n": 3, "gamma": 0.1}),
    "herd_many": (kernels.herd_many, {"candidates": [Z, Z[:4]], "means": [W, W[:4]], "n": 3, "gamma": 0.1}),
    "fit_reduced_set": (
        kernels.fit_reduced_set,
        {"X": Z, "n_points": 2, "gamma": 0.1, "random_state": 0, "max_evaluations": 5},
    ),
    "mixture": (kernels.mixture, {"gram": GRAM, "cross": W, "self_inner": 1.0}),
    "top_k": (kernels.top_k, {"values": W, "k": 2}),
}

# Arguments that hold numbers, with the shape (as a number of axes) that the function wants.
ARRAYS = {
    "inner": {"points": 2, "weights": 1, "other_points": 2, "other_weights": 1},
    "pack with offsets": {"points": 2, "weights": 1},
    "pack of an array": {"points": 3, "weights": 2},
    "embed": {"points": 2, "weights": 1, "at": 2},
    "local_losses": {"X": 2},
    "simplex_qp": {"K": 2, "c": 1},
    "herd": {"candidates": 2, "mean": 1},
    "herd_data": {"X": 2},
    "fit_reduced_set": {"X": 2},
    "mixture": {"gram": 2, "cross": 1},
    "top_k": {"values": 1},
}
ARRAY_CASES = [(call, name) for call, arrays in ARRAYS.items() for name in arrays]


def refuse(call, name, value, *, mentions=None):
    """The call with one argument replaced raises InvalidArgument, naming it (or `mentions`)."""
    function, good = CALLS[call]
    with pytest.raises(LearndockError) as caught:
        function(**{**good, name: value})
    assert isinstance(caught.value, InvalidArgument)
    assert re.search(rf"\b{re.escape(mentions or name)}", str(caught.value)), str(caught.value)


def changed(array, value, dtype=np.float64):
    result = np.array(array, dtype=dtype)
    result[(0,) * result.ndim] = value
    return result


@pytest.mark.parametrize("call", CALLS)
def test_the_good_calls_are_good(call):
    function, good = CALLS[call]
    function(**good)


# --- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "name"), ARRAY_CASES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity(call, name, bad):
    good = CALLS[call][1][name]
    if call == "top_k":
        kernels.top_k(changed(good, bad), 2)  # allowed: NaN sorts last
        return
    refuse(call, name, changed(good, bad))
    refuse(call, name, changed(good, bad, np.float32))
    refuse(call, name, changed(good, bad).tolist())


@pytest.mark.parametrize(("call", "name"), [case for case in ARRAY_CASES if case[0] != "top_k"])
def test_numbers_whose_squares_overflow(call, name):
    good = CALLS[call][1][name]
    refuse(call, name, changed(good, 1e200))
    refuse(call, name, changed(good, -1e308))


@pytest.mark.parametrize(("call", "name"), ARRAY_CASES)
def test_extended_precision_beyond_float64(call, name):
    if np.finfo(np.longdouble).max == np.finfo(np.float64).max:
        pytest.skip("this platform's long double is float64")
    if call == "top_k":
        return
    refuse(call, name, changed(CALLS[call][1][name], np.longdouble("1e400"), np.longdouble))


@pytest.mark.parametrize(("call", "name"), ARRAY_CASES)
@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        1.5,
        "text",
        b"bytes",
        object(),
        {},
        {1, 2},
        [],
        [[]],
        np.array(1.0),
        np.empty((0, 2)),
        np.empty((2, 0)),
        np.zeros((2, 2, 2, 2)),
        [["a", "b"], ["c", "d"]],
        ["1.0", "2.0"],
        [[1.0], [1.0, 2.0]],
        [1.0, [2.0]],
        [1 + 2j, 3.0],
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.array([{}, []], dtype=object),
        np.array([[1.5, "2.5"]] * 6, dtype=object),
        np.array(["1.5", "2.5"], dtype=object),
        [10**400, 1],
        lambda: None,
    ],
    ids=lambda value: repr(value)[:40].replace("\n", " "),
)
def test_what_is_no_array_of_numbers_of_that_shape(call, name, value):
    # A list is a list of embeddings to pack: then the message speaks of its members.
    refuse(call, name, value)


@pytest.mark.parametrize(("call", "name"), ARRAY_CASES)
def test_wrong_number_of_axes(call, name):
    good = np.asarray(CALLS[call][1][name])
    refuse(
        call, name, good[None] if (call, name) not in (("simplex_qp", "K"), ("mixture", "gram")) else good[None, None]
    )
    refuse(call, name, good[0])


@pytest.mark.parametrize(
    ("call", "name", "mentions"),
    [
        ("inner", "points", "weights"),
        ("inner", "weights", "weights"),
        ("inner", "other_points", "other_weights"),
        ("inner", "other_weights", "other_weights"),
        ("embed", "points", "weights"),
        ("embed", "weights", "weights"),
        ("simplex_qp", "K", "K"),
        ("simplex_qp", "c", "c"),
        ("herd", "candidates", "mean"),
        ("herd", "mean", "mean"),
        ("mixture", "gram", "gram"),
        ("mixture", "cross", "cross"),
        ("pack with offsets", "points", "points"),
        ("pack with offsets", "weights", "weights"),
        ("pack of an array", "points", "points"),
        ("pack of an array", "weights", "weights"),
    ],
)
def test_lengths_that_differ(call, name, mentions):
    good = np.asarray(CALLS[call][1][name])
    refuse(call, name, good[:-1], mentions=mentions)
    refuse(call, name, np.concatenate([good, good]), mentions=mentions)


def test_points_of_other_dimensions():
    for call, name in (("inner", "other_points"), ("embed", "at")):
        for wrong in (Z[:, :1], np.hstack([Z, Z])):
            function, good = CALLS[call]
            with pytest.raises(SpecificationMismatch, match=f"{name}.*2.*{wrong.shape[1]}"):
                function(**{**good, name: wrong})
    with pytest.raises(SpecificationMismatch, match=r"queries\[1\].*2.*1"):
        kernels.mmd2([(Z, W), (Z[:, :1], W)], PACKED, gamma=0.1)
    one = kernels.pack([Z[:, :1]], [W])
    with pytest.raises(SpecificationMismatch, match="queries.*1.*2"):
        kernels.mmd2(PACKED, one, gamma=0.1)


# --- lists of embeddings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "weights", "mentions"),
    [
        ([Z, Z[:, :1]], [W, W], r"points\[1\]"),
        ([Z, Z[0]], [W, W], r"points\[1\]"),
        ([Z, np.empty((0, 2))], [W, []], r"(points|weights)\[1\]"),
        ([Z, None], [W, W], r"points\[1\]"),
        ([Z, changed(Z, np.nan)], [W, W], "points"),
        ([Z, "ab"], [W, W], r"points\[1\]"),
        ([Z, Z], [W, W[:-1]], r"weights\[1\]"),
        ([Z, Z], [W, W[None]], r"weights\[1\]"),
        ([Z, Z], [W, changed(W, np.inf)], "weights"),
        ([Z, Z], [W, "ab"], r"weights\[1\]"),
        ([Z, Z], [W], "weights"),
        ([Z, Z], [W, W, W], "weights"),
        ([Z, Z], W, "weights"),
        ([Z, Z], None, "weights"),
        ([Z, Z], 3, "weights"),
        ([], [], "points"),
        ((), (), "points"),
    ],
)
def test_pack_of_lists_that_do_not_fit(points, weights, mentions):
    with pytest.raises(InvalidArgument, match=mentions):
        kernels.pack(points, weights)


@pytest.mark.parametrize("value", [1e39, -3.5e38, 1e150])
def test_pack_refuses_what_float32_cannot_hold(value):
    with pytest.raises(InvalidArgument, match="points.*float32"):
        kernels.pack([changed(Z, value)], [W])
    with pytest.raises(InvalidArgument, match="weights.*float32"):
        kernels.pack([Z], [changed(W, value)])
    assert kernels.pack([changed(Z, value)], [W], dtype="float64").dtype == np.float64


@pytest.mark.parametrize("dtype", ["float16", "int32", "nonsense", object, None, 3, [], np.float16, "longdouble", {}])
def test_pack_refuses_other_dtypes(dtype):
    if dtype is None:  # NumPy's own reading of None is float64: ours is an error or that, never float32
        with contextlib.suppress(InvalidArgument):
            assert kernels.pack([Z], [W], dtype=None).dtype == np.float64
        return
    refuse("pack", "dtype", dtype)


@pytest.mark.parametrize(
    "queries",
    [
        None,
        [],
        (),
        3,
        "ab",
        [Z],
        [(Z,)],
        [(Z, W, W)],
        [(Z, W[:-1])],
        [(Z, changed(W, np.nan))],
        [(changed(Z, np.inf), W)],
        [(Z, W), None],
        [(Z[0], W)],
        [("ab", "cd")],
        {0: (Z, W)},
        Z,
    ],
    ids=lambda value: repr(value)[:30].replace("\n", " "),
)
def test_mmd2_refuses_other_queries(queries):
    refuse("mmd2", "queries", queries)


@pytest.mark.parametrize("packed", [None, [(Z, W)], (PACKED.tiles, PACKED.weights, PACKED.offsets), Z, "packed"])
def test_mmd2_refuses_what_is_not_packed(packed):
    refuse("mmd2", "packed", packed)


@pytest.mark.parametrize("precision", ["float16", "double", None, 32, np.float32, [], {}, "FLOAT32"])
def test_mmd2_refuses_other_precisions(precision):
    refuse("mmd2", "precision", precision)


def test_mmd2_refuses_float32_of_a_float64_batch():
    with pytest.raises(InvalidArgument, match="precision"):
        kernels.mmd2([(Z, W)], kernels.pack([Z], [W], dtype="float64"), gamma=0.1, precision="float32")


# --- numbers ---------------------------------------------------------------------------------------------------------

WITH_GAMMA = [call for call, (_, good) in CALLS.items() if "gamma" in good]
WITH_THREADS = [call for call in CALLS if not call.startswith("pack") and call != "top_k"]


@pytest.mark.parametrize("call", WITH_GAMMA)
@pytest.mark.parametrize(
    "gamma",
    [
        0,
        0.0,
        -0.0,
        -1,
        -1e-300,
        np.nan,
        np.inf,
        -np.inf,
        1e308,
        10**400,
        None,
        "wide",
        "0.1",
        b"1",
        [],
        [0.1],
        {},
        1j,
        np.array([0.1]),
        np.array([0.1, 0.2]),
        object(),
    ],
    ids=repr,
)
def test_gammas(call, gamma):
    refuse(call, "gamma", gamma)


@pytest.mark.parametrize("call", WITH_GAMMA)
@pytest.mark.parametrize("gamma", [1, np.float32(0.5), np.int64(2), np.float64(0.1), np.array(0.25)])
def test_other_numbers_are_gammas(call, gamma):
    function, good = CALLS[call]
    function(**{**good, "gamma": gamma})


@pytest.mark.parametrize("call", WITH_THREADS)
@pytest.mark.parametrize("threads", [0, -1, -(2**70), 1.5, 2.0, np.nan, "4", True, [], np.float64(2)], ids=repr)
def test_threads(call, threads):
    refuse(call, "threads", threads)


@pytest.mark.parametrize("call", WITH_THREADS)
def test_more_threads_than_work_or_processors(call):
    function, good = CALLS[call]
    function(**{**good, "threads": 64})
    function(**{**good, "threads": np.int32(3)})


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("herd", "n"),
        ("herd_data", "n"),
        ("fit_reduced_set", "n_points"),
        ("fit_reduced_set", "max_evaluations"),
        ("mixture", "size"),
        ("top_k", "k"),
    ],
)
@pytest.mark.parametrize("value", [0, -1, -(2**70), 1.5, 2.0, np.nan, None, "3", True, [3], np.float64(2)], ids=repr)
def test_counts(call, name, value):
    refuse(call, name, value)


def test_counts_above_what_there_is():
    refuse("fit_reduced_set", "n_points", 7)
    refuse("fit_reduced_set", "n_points", 2**70)
    function, good = CALLS["herd"]
    for n in (7, 2**70):
        with pytest.raises(InvalidArgument, match=r"^n:"):
            function(**{**good, "n": n, "replace": False})
    # Limits, not demands: more than there is, is all.
    kernels.mixture(GRAM, W, 1.0, size=2**70)
    assert len(kernels.top_k(W, 2**70)) == 6


@pytest.mark.parametrize("n", [2**40, 2**62, 2**63, 2**70])
def test_herds_too_large_for_memory(n):
    """An error at once, in a process that may have 4 GB: never another number of samples than was asked for."""
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from learndock import kernels
from learndock.errors import InvalidArgument
try:
    kernels.herd([[0.0], [1.0]], [0.5, 0.5], n={n}, gamma=1.0)
except InvalidArgument as error:
    print(str(error).startswith("n: "))
except MemoryError:
    print(True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize("seed", [-1, 1.5, "x", [], {}, object(), np.nan, (1, "a"), b"1"], ids=repr)
def test_random_states(seed):
    if seed == []:
        return  # NumPy takes an empty sequence as a seed
    refuse("fit_reduced_set", "random_state", seed)


@pytest.mark.parametrize(
    "rule", ["", "DISTANCE", "automatic", "nearest", None, 0, [], {}, ("greedy",), object()], ids=repr
)
def test_unknown_rules(rule):
    refuse("mixture", "rule", rule)
    refuse("fit_reduced_set", "weights", rule)


# --- matrices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [("simplex_qp", "K"), ("mixture", "gram")])
def test_matrices_that_are_not_square(call):
    for wrong in (GRAM[:5], GRAM[:, :5], np.stack([GRAM[:5]] * 2), GRAM.reshape(4, 9), GRAM.reshape(-1)):
        refuse(*call, wrong)


def test_matrices_that_are_not_symmetric():
    for size in (1e-3, 1e-6, 1.0):
        wrong = GRAM.copy()
        wrong[0, 1] += size
        refuse("simplex_qp", "K", wrong)
        with pytest.raises(InvalidArgument, match="K.*symmetric"):
            kernels.simplex_qp(np.stack([GRAM, wrong]), np.stack([W, W]))
        with pytest.raises(InvalidArgument, match="K.*symmetric"):
            kernels.simplex_qp(1e-12 * wrong, W)
    # An asymmetry of one small problem is not excused by a large one beside it.
    wrong = 1e-12 * GRAM
    wrong[0, 1] = 0.0
    with pytest.raises(InvalidArgument, match="K.*symmetric"):
        kernels.simplex_qp(np.stack([GRAM, wrong]), np.stack([W, W]))


def test_batches_of_different_lengths():
    with pytest.raises(InvalidArgument, match="K, c"):
        kernels.simplex_qp(np.stack([GRAM] * 3), np.stack([W] * 2))
    with pytest.raises(InvalidArgument, match="gram, cross"):
        kernels.mixture(np.stack([GRAM] * 3), np.stack([W] * 2), np.ones(3))
    for self_inner in (np.ones(2), np.ones((3, 1)), 1.0, [1.0, np.nan, 1.0], None, "1", [[1.0]] * 3):
        with pytest.raises(InvalidArgument, match="self_inner"):
            kernels.mixture(np.stack([GRAM] * 3), np.stack([W] * 3), self_inner)


# --- offsets ---------------------------------------------------------------------------------------------------------

BAD_OFFSETS = [
    [],
    [0],
    [6],
    [0, 5],
    [0, 7],
    [1, 6],
    [-1, 6],
    [0, 0, 6],
    [0, 4, 4, 6],
    [0, 4, 2, 6],
    [0, 6, 6],
    [0.0, 6.0],
    [0, 2.5, 6],
    [[0, 6]],
    [[0], [1, 6]],
    ["0", "6"],
    "06",
    6,
    [0, None, 6],
    [False, True],
    [0, 2**63, 6],
    [0, 2**70, 6],
    [0, -(2**63), 6],
    np.array([0, 2**64 - 1, 6], dtype=np.uint64),
    {0: 6},
]


@pytest.mark.parametrize("offsets", BAD_OFFSETS, ids=repr)
def test_offsets(offsets):
    refuse("pack with offsets", "offsets", offsets)
    refuse("inner with offsets", "offsets", offsets)
    refuse("inner with offsets", "other_offsets", offsets)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
def test_offsets_of_any_integers(dtype):
    packed = kernels.pack(Z, W, offsets=np.array([0, 2, 6], dtype=dtype))
    assert packed.offsets.dtype == np.int64
    assert packed.offsets.tolist() == [0, 2, 6]


# --- what is accepted, and left alone --------------------------------------------------------------------------------


def forms(array):
    """The same numbers in many kinds of arrays."""
    array = np.asarray(array, dtype=np.float64)
    wide = np.zeros(tuple(2 * size for size in array.shape))
    wide[(slice(None, None, 2),) * array.ndim] = array
    backwards = np.ascontiguousarray(array[::-1])[::-1]
    frozen = array.copy()
    frozen.flags.writeable = False
    yield "C", array
    yield "Fortran", np.asfortranarray(array)
    yield "strided", wide[(slice(None, None, 2),) * array.ndim]
    yield "reversed", backwards
    yield "read-only", frozen
    yield "big-endian", array.astype(">f8")
    yield "unaligned", np.frombuffer(b"x" + array.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(array.shape)
    yield "list", array.tolist()
    yield "tuple", tuple(array.tolist())
    yield "objects", array.astype(object)
    yield "long double", array.astype(np.longdouble)
    if array.ndim == 2:
        yield "DataFrame", pd.DataFrame(array)
    if array.ndim == 1:
        yield "Series", pd.Series(array)


def bytes_of(result):
    parts = result if isinstance(result, tuple) else (result,)
    if isinstance(result, kernels.ReducedSet):
        parts = (result.points, result.weights, result.mmd2)
    if isinstance(result, kernels.PackedEmbeddings):
        parts = (result.tiles, result.weights, result.offsets)
    return [np.asarray(part).tobytes() for part in parts]


@pytest.mark.parametrize(("call", "name"), ARRAY_CASES)
def test_every_kind_of_array_gives_the_same_result_and_is_left_alone(call, name):
    function, good = CALLS[call]
    expected = bytes_of(function(**good))
    for form, value in forms(good[name]):
        if call == "pack of an array" and form in ("list", "tuple"):
            continue  # there a list is a list of embeddings: see the next test
        before = copy.deepcopy(value)
        assert bytes_of(function(**{**good, name: value})) == expected, form
        np.testing.assert_array_equal(np.asarray(value), np.asarray(before), err_msg=form)
        if isinstance(value, np.ndarray):
            assert value.dtype == before.dtype
            assert value.flags.writeable == (form not in ("read-only", "unaligned"))


def test_pack_of_nested_lists():
    nested = kernels.pack([Z.tolist(), Z[:3].tolist()], [W.tolist(), W[:3].tolist()])
    assert bytes_of(nested) == bytes_of(PACKED)


@pytest.mark.parametrize(("call", "name"), ARRAY_CASES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.uint16, np.int64, bool])
def test_smaller_numbers_are_widened_exactly(call, name, dtype):
    if (call, name) in (("simplex_qp", "K"), ("mixture", "gram")):
        narrow = np.eye(6).astype(dtype)
    else:
        narrow = np.round(4 * np.asarray(CALLS[call][1][name])).astype(dtype)
    function, good = CALLS[call]
    wide = narrow.astype(np.float64)
    assert bytes_of(function(**{**good, name: narrow})) == bytes_of(function(**{**good, name: wide}))


@pytest.mark.parametrize("call", CALLS)
def test_no_argument_is_modified_or_kept(call):
    """All arguments stay as they were, and writing to them later does not change the result."""
    function, good = CALLS[call]
    mine = {
        name: np.array(value) if isinstance(value, np.ndarray) else copy.deepcopy(value) for name, value in good.items()
    }
    if call == "mmd2":
        mine["packed"] = PACKED
    if "points" in mine and call == "pack with offsets":
        mine["points"] = mine["points"].astype(np.float32)
        mine["weights"] = mine["weights"].astype(np.float32)
        mine["offsets"] = np.array(mine["offsets"], dtype=np.int64)
    before = {name: copy.deepcopy(value) for name, value in mine.items() if name != "packed"}
    result = function(**mine)
    kept = bytes_of(result)
    for name, value in before.items():
        for left, right in zip(_flat(mine[name]), _flat(value), strict=True):
            np.testing.assert_array_equal(left, right)
    for name in before:
        for array in _flat(mine[name]):
            if isinstance(array, np.ndarray):
                array[...] = 0
    assert bytes_of(result) == kept


def _flat(value):
    if isinstance(value, list | tuple):
        for member in value:
            yield from _flat(member)
    else:
        yield value


def test_results_may_be_written_to():
    """They are the caller's own: no result is a view of another's memory or read-only."""
    for call, (function, good) in CALLS.items():
        result = function(**good)
        parts = result if isinstance(result, tuple) else (result,)
        for part in parts:
            if isinstance(part, np.ndarray):
                assert part.flags.writeable, call
                assert part.flags.owndata or part.base is not None
                part[...] = 0
        assert bytes_of(function(**good)) != [np.zeros(0).tobytes()]
