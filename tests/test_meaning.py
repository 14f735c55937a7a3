"""What outputs mean: found in semantic specifications, united, and brought into one order; against cases by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filled_docks import described
from learndock.errors import LearnwareError, SpecificationMismatch
from learndock.learnware.meaning import OutputMeaning, aligned, common_meaning


def about(task, *names, dimension=None):
    return described(
        task=task,
        input={"Dimension": 1},
        output={"Dimension": dimension or len(names), "Description": dict(enumerate(names))},
    )


def classes(*names, **options):
    return OutputMeaning.of(about("Classification", *names, **options))


def targets(*names, **options):
    return OutputMeaning.of(about("Regression", *names, **options))


UNKNOWN = OutputMeaning.of(None)


# ---- What one output means -----------------------------------------------------------------------------------------


def test_names_are_read_in_the_order_of_columns_without_case_and_spare_spaces():
    meaning = classes("Iris  Setosa", " versicolor\t", "STRASSE", "Straße 2")
    assert meaning.names == ("iris setosa", "versicolor", "strasse", "strasse 2")
    assert meaning.shown == ("Iris  Setosa", " versicolor\t", "STRASSE", "Straße 2")
    assert (meaning.task, meaning.dimension) == ("Classification", 4)


def test_one_letter_written_in_two_ways_is_one_letter():
    assert classes("caf\u00e9", "tea").key == classes("tea", "cafe\u0301").key


@pytest.mark.parametrize(
    "meaning",
    [classes("a", "b", dimension=3), classes(dimension=3), classes("a", "a ", "b")],
    ids=["some", "none", "twice the same"],
)
def test_what_does_not_name_each_column_names_none(meaning):
    assert (meaning.names, meaning.shown, meaning.dimension) == (None, None, 3)
    assert meaning.key == classes(dimension=3).key


def test_case_counts_where_it_alone_tells_two_names_apart():
    alphabet = classes("a", "A", "B")
    assert alphabet.names == ("a", "A", "B")
    together = common_meaning([classes("B", "A"), alphabet])
    assert together.shown == ("B", "A", "a")
    assert aligned(np.array([[0.2, 0.8]]), classes("B", "A"), together).tolist() == [[0.2, 0.8, 0.0]]
    with pytest.raises(SpecificationMismatch):
        common_meaning([classes("b", "c"), alphabet])


def test_keys_are_equal_exactly_where_outputs_mean_the_same():
    same = [classes("Yes", "no"), classes("no", "yes")]
    others = [
        classes("yes", "no", "perhaps"),
        targets("yes", "no"),
        classes(dimension=2),
        classes(dimension=3),
        targets(dimension=2),
        targets("PM2.5 in µg/m³"),
        targets("PM2.5 in mg/m³"),
        UNKNOWN,
    ]
    assert same[0].key == same[1].key
    keys = [same[0].key, *(meaning.key for meaning in others)]
    assert len(set(keys)) == len(keys)


# ---- What several mean together ------------------------------------------------------------------------------------


def test_classes_are_united_in_the_order_of_the_first():
    together = common_meaning([classes("B", "a"), classes("a", "c"), classes("D", "b", "c")])
    assert together.shown == ("B", "a", "c", "D")
    assert (together.task, together.dimension) == ("Classification", 4)


def test_classes_that_are_shared_through_a_third_are_united_whatever_the_order():
    for members in itertools.permutations([classes("a", "b"), classes("c", "d"), classes("b", "c")]):
        assert set(common_meaning(members).names) == {"a", "b", "c", "d"}


def test_targets_are_the_same_in_any_order():
    assert common_meaning([targets("x", "y"), targets("Y", "X")]).shown == ("x", "y")


def test_what_describes_nothing_fits_whatever_has_its_dimension():
    together = common_meaning([UNKNOWN, classes(dimension=2), classes("a", "b"), UNKNOWN])
    assert (together.task, together.shown, together.dimension) == ("Classification", ("a", "b"), 2)
    assert common_meaning([UNKNOWN]) == UNKNOWN
    assert common_meaning([UNKNOWN, targets(dimension=2)]) == targets(dimension=2)


@pytest.mark.parametrize(
    ("first", "other", "says"),
    [
        (targets("PM2.5 in µg/m³"), targets("O3 in µg/m³"), "Regression of 'PM2.5 in µg/m³'; .* of 'O3 in µg/m³'"),
        (targets("x", "y"), targets("x"), "Regression of 'x', 'y'; got Regression of 'x'"),
        (targets("a", "b"), classes("a", "b"), "Regression of 'a', 'b'; got Classification of 'a', 'b'"),
        (classes("a", "b"), classes("c", "d"), "Classification of 'a', 'b'; got Classification of 'c', 'd'"),
        (classes("a", "b"), classes(dimension=3), "of 'a', 'b'; got Classification of 3 without names"),
        (classes(dimension=2), classes(dimension=3), "of 2 without names; got Classification of 3 without names"),
        (classes("a", "b"), targets(dimension=2), "of 'a', 'b'; got Regression of 2 without names"),
    ],
)
def test_what_does_not_mean_the_same_is_an_error_that_names_both(first, other, says):
    with pytest.raises(SpecificationMismatch, match=rf"^other: expected .* as first's, .*{says}"):
        common_meaning([first, other], names=["first", "other"])


def test_a_message_about_many_classes_stays_short():
    many = classes(*(f"{number}{'x' * 1000}" for number in range(1000)))
    with pytest.raises(SpecificationMismatch, match="and 992 more") as raised:
        common_meaning([many, targets("y")])
    assert len(str(raised.value)) < 1000


# ---- Outputs in the common order -----------------------------------------------------------------------------------

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])


def test_columns_are_permuted_and_missing_classes_have_0():
    own = classes("a", "b", "c")
    together = common_meaning([classes("d", "c", "a"), own])
    assert together.shown == ("d", "c", "a", "b")
    assert aligned(PROBABILITIES, own, together).tolist() == [[0.0, 0.1, 0.7, 0.2], [0.0, 0.5, 0.0, 0.5]]


def test_an_output_in_the_common_order_is_passed_on():
    assert aligned(PROBABILITIES, classes("a", "b", "c"), classes("A", "B", "C")) is PROBABILITIES
    assert aligned(PROBABILITIES, UNKNOWN, classes("A", "B", "C")) is PROBABILITIES
    assert aligned(PROBABILITIES, classes(dimension=3), classes("A", "B", "C")) is PROBABILITIES


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.float32, bool])
def test_numbers_of_classes_become_those_of_the_common_order(dtype):
    numbers = np.array([0, 1, 1], dtype=dtype)
    found = aligned(numbers, classes("no", "yes"), classes("yes", "no"))
    assert found.tolist() == [1, 0, 0]
    assert found.dtype.kind == ("f" if dtype is np.float32 else "i")


@pytest.mark.parametrize("odd", [-1, 2, 0.5, 1e300])
def test_a_number_of_no_class_is_refused(odd):
    with pytest.raises(LearnwareError, match=r"^learnwares\[1\]: expected numbers of classes from 0 to 1, got"):
        aligned(np.array([0, odd]), classes("no", "yes"), classes("yes", "no"), name="learnwares[1]")


def test_names_of_classes_are_spelt_as_the_first_spells_them():
    labels = np.array(["NO", "yes", "unheard of"])
    assert aligned(labels, classes("no", "yes"), classes("Yes", "No")).tolist() == ["No", "Yes", "unheard of"]


def test_targets_are_permuted():
    assert aligned(PROBABILITIES, targets("x", "y", "z"), targets("z", "x", "y")).tolist() == [
        [0.1, 0.7, 0.2],
        [0.5, 0.0, 0.5],
    ]
    assert aligned(np.array([0.5]), targets("x"), targets("X")).tolist() == [0.5]


@pytest.mark.parametrize(
    ("own", "says"), [(classes("a", "b"), "2 columns, as its semantic"), (UNKNOWN, "4 columns, as the others")]
)
def test_an_output_of_another_width_is_refused_by_name(own, says):
    with pytest.raises(LearnwareError, match=rf"^learnwares\[1\]: expected {says} .*, got 3"):
        aligned(PROBABILITIES, own, classes("a", "b", "c", "d"), name="learnwares[1]")


def test_a_meaning_that_is_not_in_the_common_one_is_refused():
    with pytest.raises(SpecificationMismatch, match="'a', 'b'; got Classification of 'b', 'c'"):
        aligned(np.zeros((1, 2)), classes("b", "c"), classes("a", "b"))


@given(st.permutations("abcde"), st.permutations("abcde"), st.integers(2, 5))
def test_the_number_of_a_class_and_its_column_lead_to_the_same_name(ours, theirs, size):
    own, together = classes(*theirs[:size]), common_meaning([classes(*ours), classes(*theirs[:size])])
    numbers = np.arange(size)
    columns = aligned(np.eye(size), own, together)
    assert [together.shown[i] for i in columns.argmax(axis=1)] == theirs[:size]
    assert np.array_equal(aligned(numbers, own, together), columns.argmax(axis=1))
    assert columns.sum() == size
