"""Semantic specifications: the reference's dicts in and out, every rule, and errors that name what to change."""

from __future__ import annotations

import contextlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learndock.errors import LearndockError, SemanticError, SpecificationFileError
from learndock.specification.semantic import SemanticSpecification
from learndock.specification.semantic_query import SemanticQuery
from learndock.specification.semantic_vocabulary import (
    DATA,
    LIBRARIES,
    LICENSES,
    MODELS,
    SCENARIOS,
    TASKS_OF_03,
    TASKS_OF_DATA,
)

IRIS = {
    "name": "Iris",
    "description": "Three species from four lengths.",
    "data": "Table",
    "task": "Classification",
    "library": "Scikit-learn",
    "scenario": ["Nature"],
    "license": ["MIT"],
    "input": {"Dimension": 4, "Description": {"0": "sepal length", "3": "petal width"}},
    "output": {"Dimension": 3, "Description": {"0": "setosa", "1": "versicolor", "2": "virginica"}},
}

# A dict as version 0.3 of the reference writes it: no key Model.
OF_03 = {
    "Data": {"Type": "Class", "Values": ["Table"]},
    "Task": {"Type": "Class", "Values": ["Regression"]},
    "Library": {"Type": "Class", "Values": ["Scikit-learn"]},
    "Scenario": {"Type": "Tag", "Values": ["Business", "Financial"]},
    "License": {"Type": "Class", "Values": ["MIT"]},
    "Name": {"Type": "String", "Values": "sales"},
    "Description": {"Type": "String", "Values": "d"},
    "Input": {"Dimension": 2, "Description": {"0": "shop", "1": "day"}},
    "Output": {"Dimension": 1, "Description": {"0": "sales"}},
}


def iris(**changes):
    return SemanticSpecification(**{**IRIS, **changes})


def message_of(**changes):
    with pytest.raises(SemanticError) as caught:
        iris(**changes)
    return str(caught.value)


def test_dict_has_the_references_form():
    assert iris().to_dict() == {
        "Data": {"Type": "Class", "Values": ["Table"]},
        "Task": {"Type": "Class", "Values": ["Classification"]},
        "Model": {"Type": "Optional", "Values": ["Others"]},
        "Library": {"Type": "Class", "Values": ["Scikit-learn"]},
        "Scenario": {"Type": "Tag", "Values": ["Nature"]},
        "License": {"Type": "Class", "Values": ["MIT"]},
        "Name": {"Type": "String", "Values": "Iris"},
        "Description": {"Type": "String", "Values": "Three species from four lengths."},
        "Input": IRIS["input"],
        "Output": IRIS["output"],
    }


def test_round_trips_by_dict_file_and_pickle(tmp_path):
    semantic = iris(name="Ünïcode 花", scenario=["Nature", "Education"])
    semantic.save(tmp_path / "semantic.json")
    assert SemanticSpecification.load(tmp_path / "semantic.json") == semantic
    assert SemanticSpecification.from_dict(json.loads(json.dumps(semantic.to_dict()))) == semantic
    assert pickle.loads(pickle.dumps(semantic)) == semantic
    assert len({semantic, iris(), iris()}) == 2


def test_dict_of_03_is_read_and_gains_model_others():
    semantic = SemanticSpecification.from_dict(OF_03)
    assert semantic.model == "Others"
    assert semantic.input_dimension == 2
    assert semantic.output_dimension == 1
    assert semantic.output_description == {"0": "sales"}
    assert semantic.to_dict() == {**OF_03, "Model": {"Type": "Optional", "Values": ["Others"]}}


def test_a_combination_that_only_03_knew_is_read_and_written_as_of_03():
    old = {**OF_03, "Task": {"Type": "Class", "Values": ["Segmentation"]}, "Output": {}}
    semantic = SemanticSpecification.from_dict(old)
    assert semantic.to_dict() == old
    assert SemanticSpecification.from_dict(semantic.to_dict()) == semantic
    with pytest.raises(SemanticError, match=r"Task: got 'Segmentation', .* where Data is 'Table'"):
        SemanticSpecification.from_dict({**old, "Model": {"Type": "Optional", "Values": ["Others"]}})


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("task", sorted({*TASKS_OF_03, "Text Generation"}))
def test_tasks_go_with_the_data_of_the_table(data, task):
    if task in TASKS_OF_DATA[data]:
        assert iris(data=data, task=task).task == task
    else:
        assert f"where Data is {data!r}" in message_of(data=data, task=task)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("model", MODELS)
def test_only_text_has_language_models(data, model):
    if data == "Text" or model == "Others":
        assert iris(data=data, model=model).model == model
    else:
        assert "Model: got " in message_of(data=data, model=model)


def test_text_generation_needs_neither_input_nor_output():
    semantic = iris(data="Text", task="Text Generation", model="PEFT Model", input=None, output=None)
    assert semantic.input is None
    assert semantic.output_dimension is None
    assert semantic.output_description == {}
    assert SemanticSpecification.from_dict(semantic.to_dict()) == semantic


def test_image_and_text_need_no_input_and_only_predictions_need_output():
    assert iris(data="Image", input=None).input_dimension is None
    assert iris(data="Image", input={}, task="Feature Extraction", output={}).output is None


def test_all_faults_come_at_once_with_key_value_and_what_is_allowed():
    message = message_of(name="", data="Tabel", library="sklearn", scenario=[], license=["MIT", "GPL-2.0"], output={})
    assert "Name: got ''" in message
    assert "Data: got 'Tabel', expected exactly one of 'Table', 'Image', 'Text'" in message
    assert "Library: got 'sklearn', expected exactly one of 'Scikit-learn'" in message
    assert "Scenario: got []" in message
    assert "License: got ['MIT', 'GPL-2.0']" in message
    assert "Output: got {}" in message
    # Input is fine, though Data, which decides whether it is needed, is not.
    assert "Input" not in message


def test_missing_keys_are_all_named():
    with pytest.raises(SemanticError) as caught:
        SemanticSpecification.from_dict({})
    for key in ("Data", "Task", "Library", "Scenario", "License", "Name", "Description"):
        assert f"{key}: missing" in str(caught.value)
    assert "Model" not in str(caught.value)


@pytest.mark.parametrize(
    ("side", "said"),
    [
        (None, "where Data is 'Table'"),
        (4, "expected a dict"),
        ({"Description": {}}, "expected a dict {'Dimension'"),
        ({"Dimension": "4"}, "expected an integer"),
        ({"Dimension": 4.0}, "expected an integer"),
        ({"Dimension": True}, "expected an integer"),
        ({"Dimension": 0}, "expected an integer from 1"),
        ({"Dimension": 10**30}, "expected an integer from 1"),
        ({"Dimension": 4, "Description": ["age"]}, "as Description"),
        ({"Dimension": 4, "Description": {"4": "age"}}, "an index from 0 to 3"),
        ({"Dimension": 4, "Description": {"-1": "age"}}, "an index from 0 to 3"),
        ({"Dimension": 4, "Description": {"age": "0"}}, "an index from 0 to 3"),
        ({"Dimension": 4, "Description": {"01": "age"}}, "an index from 0 to 3"),
        ({"Dimension": 4, "Description": {"²": "age"}}, "an index from 0 to 3"),
        ({"Dimension": 4, "Description": {"9" * 5000: "age"}}, "an index from 0 to 3"),
        ({"Dimension": 4, "Description": {"1": "age", 1: "sex"}}, "names each index once"),
        ({"Dimension": 4, "Description": {"0": 5}}, "text as Description of '0'"),
    ],
)
def test_a_side_that_makes_no_sense_is_refused(side, said):
    message = message_of(input=side)
    assert message.startswith("Input: got ")
    assert said in message


def test_a_dimension_may_be_a_numpy_integer_and_indices_may_be_integers():
    semantic = iris(input={"Dimension": np.int64(4), "Description": {0: "sepal length", 3: "petal width"}})
    assert semantic == iris()
    json.dumps(semantic.to_dict())


def test_classification_has_at_least_two_classes_and_regression_at_least_one_target():
    assert "from 2 to" in message_of(output={"Dimension": 1})
    assert iris(task="Regression", output={"Dimension": 1}).output_dimension == 1


@pytest.mark.parametrize("name", ["", None, 7, "a\0b", "\ud800"])
def test_a_name_is_text_that_a_database_can_hold(name):
    assert "Name: got " in message_of(name=name)


def test_a_wrong_type_beside_the_values_is_refused():
    with pytest.raises(SemanticError, match=r"Scenario: got .*, expected a dict \{'Type': 'Tag'"):
        SemanticSpecification.from_dict({**OF_03, "Scenario": {"Type": "Class", "Values": ["Nature"]}})


def test_nothing_in_it_can_be_changed():
    semantic = iris()
    with pytest.raises(AttributeError):
        semantic.name = "other"
    semantic.input["Description"]["0"] = "other"
    semantic.to_dict()["Scenario"]["Values"].append("Health")
    assert semantic == iris()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"Data": ' + b"1" * 5000 + b"}"])
def test_a_file_that_is_no_json_is_an_error_that_names_it(tmp_path, content):
    file = tmp_path / "semantic.json"
    file.write_bytes(content)
    with pytest.raises(SpecificationFileError, match=r"semantic\.json"):
        SemanticSpecification.load(file)


def test_a_file_that_is_missing_or_holds_no_dict_is_an_error(tmp_path):
    with pytest.raises(SpecificationFileError, match="No such file"):
        SemanticSpecification.load(tmp_path / "absent.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(SemanticError, match="got list, expected a dict"):
        SemanticSpecification.load(tmp_path / "list.json")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(key=st.sampled_from([*OF_03, "Model"]), value=JSON_VALUES, inside=st.booleans())
def test_any_json_in_any_key_is_read_or_refused_with_a_semantic_error(key, value, inside):
    entry = {"Type": OF_03.get(key, {}).get("Type"), "Values": value} if inside else value
    try:
        semantic = SemanticSpecification.from_dict({**OF_03, key: entry})
    except SemanticError as error:
        message = str(error)
    else:
        message = None
        assert SemanticSpecification.from_dict(semantic.to_dict()) == semantic
    assert message is None or f"{key}: " in message


@given(
    library=st.sampled_from(LIBRARIES),
    scenario=st.lists(st.sampled_from(SCENARIOS), min_size=1),
    license=st.sampled_from(LICENSES),
    described=st.dictionaries(st.integers(0, 29), st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
)
def test_whatever_is_allowed_round_trips(library, scenario, license, described):
    semantic = iris(
        library=library, scenario=scenario, license=license, input={"Dimension": 30, "Description": described}
    )
    assert SemanticSpecification.from_dict(json.loads(json.dumps(semantic.to_dict()))) == semantic
    assert semantic.input_description == {str(index): text for index, text in described.items()}


def test_pydantic_is_loaded_only_when_a_specification_is_made():
    code = "import sys, learndock.specification.semantic; sys.exit('pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_empty_query_matches_everything():
    # The dict that the reference's users send by default.
    query = SemanticQuery.from_dict(
        {
            "Data": {"Type": "Class", "Values": []},
            "Task": {"Type": "Class", "Values": []},
            "Model": {"Type": "Optional", "Values": ["Others"]},
            "Library": {"Type": "Class", "Values": []},
            "Scenario": {"Type": "Tag", "Values": []},
            "License": {"Type": "Class", "Values": []},
            "Name": {"Type": "String", "Values": ""},
            "Description": {"Type": "String", "Values": ""},
            "Input": {},
            "Output": {},
        }
    )
    assert query == SemanticQuery()
    assert query.classes == {}
    assert query.tags == {}
    assert query.texts == ()


def test_a_query_asks_for_one_value_or_any_of_several():
    query = SemanticQuery(data="Table", scenario=("Health", "Nature"), license=["MIT", "Others"])
    assert query.classes == {"Data": ("Table",), "License": ("MIT", "Others")}
    assert query.tags == {"Scenario": ("Health", "Nature")}


def test_others_among_the_kinds_of_model_means_any():
    assert SemanticQuery(model="PEFT Model").classes == {"Model": ("PEFT Model",)}
    assert SemanticQuery(model=["Base Model", "Others"]).classes == {}


def test_a_query_takes_texts_from_its_arguments_and_from_the_references_dict():
    query = SemanticQuery(name="Iris", description="petals")
    assert query.texts == ("Iris", "petals")
    assert SemanticQuery.from_dict({"Name": {"Values": "Iris"}, "Description": {"Values": "petals"}}) == query
    assert SemanticQuery.from_dict({"Name": {"Type": "String", "Values": ""}, "Description": {}}).texts == ()
    assert "name='Iris', description='petals'" in repr(query)
    assert SemanticQuery.from_dict(iris().to_dict()).texts == (iris().name, iris().description)


@pytest.mark.parametrize("value", [3, ["Iris"], None, "x" * 10_001, "a\0b", "\ud800"], ids=ascii)
def test_what_is_no_text_or_too_long_a_one_is_a_fault(value):
    with pytest.raises(SemanticError, match="Name: got .*expected a text of at most 10000"):
        SemanticQuery(name=value)


def test_whatever_says_what_is_asked_for_is_taken_as_a_query():
    query = SemanticQuery(scenario="Nature")
    assert SemanticQuery.of(query) is query
    assert SemanticQuery.of({"Scenario": {"Values": ["Nature"]}}) == query
    # A specification says what a learnware is called, not what others are.
    assert SemanticQuery.of(iris()) == SemanticQuery.of(iris(name="Another"))
    own = iris().to_dict()
    del own["Name"], own["Description"]
    assert SemanticQuery.of(iris()) == SemanticQuery.from_dict(own)
    with pytest.raises(SemanticError, match="got list, expected a SemanticQuery"):
        SemanticQuery.of(["Nature"])


def test_a_query_reports_all_its_faults():
    with pytest.raises(SemanticError) as caught:
        SemanticQuery.from_dict({"Dat": {}, "Data": {"Values": ["Tabel"]}, "Task": 4, "Scenario": {"Type": "Class"}})
    message = str(caught.value)
    assert "'Dat': no key of a query" in message
    assert "Data: got 'Tabel', expected one of 'Table'" in message
    assert "Task: got 4, expected a dict" in message
    assert "Scenario: got Type 'Class', expected 'Tag'" in message


@given(
    query=st.dictionaries(
        st.sampled_from([*OF_03, "Model", "Other"]), JSON_VALUES | st.fixed_dictionaries({"Values": JSON_VALUES})
    )
)
def test_any_json_as_a_query_is_read_or_refused(query):
    with contextlib.suppress(LearndockError):
        assert "" not in SemanticQuery.from_dict(query).texts


def test_a_file_that_can_not_be_written_whole_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "semantic.json"
    iris().save(path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(LearndockError, match="^path: .*No space"):
        iris(name="Another").save(path)
    assert SemanticSpecification.load(path) == iris()
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(LearndockError, match="^path: expected a path"):
        iris().save(None)
