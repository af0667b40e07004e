"""A settings file may hold anything at all; what is read from it is plain and small."""

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import params

from vct.lab.errors import UserError
from vct.lab.settings import reading, yaml_file


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("yaml") / "params.yaml"


def refused(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        reading.load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    assert len(message) < 2000
    return message


def lines(*templates):
    return "\n".join(templates) + "\n"


ALIASES = lines("a0: &a0 [1, 1]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)))
MERGES = lines(
    "a0: &a0 {x: 1}",
    *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}, *a{n - 1}], k{n}: 1}}" for n in range(1, 40)),
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (ALIASES, "expands to over"),
        (MERGES, "expands to over"),
        ("a: &a {<<: *a}", "datasets: this key is missing"),
        ("a: &a [*a]", "nested deeper than 50"),
        ("a: 1\na: 2", "'a' stands twice in the section at line 1"),
        ("a: {b: 1, 'b': 2}", "'b' stands twice"),
        ("a: {<<: {x: 1}, <<: {y: 1}}", "'<<' stands twice"),
        ("? [1]\n: 2", "is no word"),
        ("? {a: 1}\n: 2", "is no word"),
        ("[" * 99_999, "nested without end"),
        ("- " * 9999, "nested without end"),
        ("- " * 120_000, "nested without end"),  # where a compiled parser would crash
        ("? " * 120_000, "nested without end"),
        ("[" * 200 + "]" * 200, "nested deeper than 50"),
        ("a: " + "0x" + "f" * 9000, "a: the number is too large"),
        ("a: " + "9" * 9000, "no valid YAML"),
        ("a: 1" + ":59" * 9000, "over 10000 characters"),
        ("a: !!bool x", "no valid YAML"),
        ("a: !!int ''", "no valid YAML"),
        ("a: !!timestamp x", "no valid YAML"),
        ("a: !!binary é", "no valid YAML"),
        ("a: !!binary aGVsbG8=", "a: a value of type bytes"),
        ("a: !!set {x}", "a: a value of type set"),
        ("a: 2020-01-01", "a: a value of type date"),
        ("a: {2020-01-01: 1}", "must be a word; put it in quotes"),
        ("yes: 1", "the key 'yes' is true to vct and Snakemake (YAML 1.1) but text to DVC"),
        ("null: 1", "the key 'None' must be a word"),
        ('"a\\nb": 1', "must be a word"),
        ('a: "\\ud800"', "params.yaml"),
        (b"\xff\xfea", "cannot be read"),
        (b"\x00", "no valid YAML"),
        ("x: " + "y" * yaml_file.MOST_BYTES, "is larger than"),
        ("!!python/object/apply:os.system [ls]", "no valid YAML"),
        ("--- 1\n--- 2", "no valid YAML"),
        (yaml.safe_dump({**params(), "__use_yte__": True}), "__use_yte__: unknown key"),
    ],
)
def test_hostile_text(path, content, expected):
    """That these end at all is half of the test: some would take all memory, or years."""
    assert expected in refused(path, content)


def test_a_mark_of_byte_order_is_no_error(path):
    text = yaml.safe_dump(params())
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert reading.load(path) == reading.validate(params())


def test_a_merge_below_a_deeper_anchor_is_no_duplicate(path):
    """The section that is merged holds a merge and an override of its own."""
    path.write_text(
        lines(
            "base: &base {a: 1, b: 2}",
            "deep: {x: {y: {z: &mid {<<: *base, a: 3}}}}",
            "top: {<<: *mid, b: 4}",
        )
    )
    found = yaml_file.read(path)
    assert found["deep"]["x"]["y"]["z"] == {"a": 3, "b": 2}
    assert found["top"] == {"a": 3, "b": 4}


MARKS = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "?",
    "|",
    ">",
    "'",
    '"',
    "%",
    "@",
    "#",
    "=",
    "~",
    "-",
    "&",
    "*",
    "!!",
    "<<:",
    "---",
    "...",
    "\\x",
]
TAGS = [
    f"!!{name} "
    for name in ["int", "float", "bool", "null", "map", "seq", "omap", "binary", "set", "timestamp"]
]
SCALARS = [
    "1",
    "0x1f",
    ".inf",
    ".nan",
    "1e3",
    "1_0",
    "2020-01-01",
    "yes",
    "datasets",
    "experiments",
    "é",
]
PIECES = st.sampled_from(
    [*MARKS, *TAGS, *SCALARS, ": ", "- ", "\n", "\n  ", "&a ", "*a", "\t", "\0"]
)


@given(st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=20)))
@settings(max_examples=300, deadline=None, derandomize=True)
@example("a: !!float ''")
@example("=: 1")
def test_any_text_is_the_users_error(path, text):
    refused(path, text.encode("utf-8", "replace"))


@given(st.binary(max_size=40))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_bytes_are_the_users_error(path, content):
    refused(path, content)
