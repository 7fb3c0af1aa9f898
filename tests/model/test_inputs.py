"""DataInputConfig: every written form, and one sentence for every mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.base.errors import InputError
from neo_cli.model.inputs import parse

IMAGE = {"data": (1, 3, 224, 224)}


@pytest.mark.parametrize(
    "text",
    [
        '{"data":[1,3,224,224]}',
        "{'data': [1, 3, 224, 224]}",
        '{\\"data\\":[1,3,224,224]}',
        "\"{'data': [1,3,224,224]}\"",
        "data=1x3x224x224",
        '{"data": {"shape": [1,3,224,224]}}',
    ],
)
def test_every_form_means_the_same(text: str) -> None:
    shapes = parse(text)
    assert shapes is not None and shapes.named == IMAGE and not shapes.listed


def test_several_inputs_keep_their_order() -> None:
    shapes = parse("b=1x8,a=2x-1")
    assert shapes is not None and list(shapes.named.items()) == [("b", (1, 8)), ("a", (2, -1))]


def test_a_list_has_no_names_until_the_model_gives_them() -> None:
    shapes = parse("[[1,3,4,4],[1,2]]")
    assert shapes is not None and shapes.for_names(["x", "y"]) == {"x": (1, 3, 4, 4), "y": (1, 2)}
    with pytest.raises(InputError, match="lists 2 shapes, but the model has 1 inputs: x"):
        shapes.for_names(["x"])


def test_coreml_members_are_kept_apart() -> None:
    shapes = parse(
        '{"image": {"shape": ["1..10",224,224,3], "default_shape": [1,224,224,3], "type": "Image", "scale": 0.5}}'
    )
    assert shapes is not None and shapes.named == {"image": (1, 224, 224, 3)}
    assert shapes.extras["image"]["type"] == "Image" and shapes.extras["image"]["shape"] == ["1..10", 224, 224, 3]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{data}", "Cannot load DataInputConfig. Incorrect json format."),
        ("7", "DataInputConfig is not dictionary or list."),
        ('{"a":[1],"a":[2]}', "names the input 'a' twice"),
        ('{"a":[0,3]}', "gives the dimension 0 for input 'a'"),
        ('{"a":[-2]}', "gives the dimension -2 for input 'a'"),
        ('{"a":[1099511627776]}', "gives the dimension 1099511627776 for input 'a'"),
        ('{"a":[1.5]}', "every dimension must be an integer"),
        ('{"a":"1,3"}', "a shape is a list such as"),
        ('{"a":{"type":"Image"}}', "gives no 'shape' for input 'a'"),
    ],
)
def test_a_mistake_gets_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert sentence in caught.value.reason and caught.value.reason.startswith("ClientError: InputConfiguration: ")


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parse(text)
    except InputError:
        pass


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_:/0]{1,8}", fullmatch=True),
        st.lists(st.integers(1, 5000), max_size=5),
        min_size=1,
        max_size=4,
    )
)
def test_json_round_trip(shapes: dict[str, list[int]]) -> None:
    import json

    parsed = parse(json.dumps(shapes))
    assert parsed is not None and parsed.named == {k: tuple(v) for k, v in shapes.items()}
