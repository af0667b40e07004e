"""params.yaml is the same to vct and Snakemake (YAML 1.1) and to DVC (YAML 1.2), or refused."""

import re

import pytest
import yaml
from dvc.utils.serialize import parse_yaml
from faults.yaml_scalars import KNOWN, LETTERS, same
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAMLError
from support import ROOT, params

from vct.lab.errors import UserError
from vct.lab.settings import reading, yaml_file
from vct.lab.settings.yaml_versions import disagreement


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("yaml") / "params.yaml"


@pytest.mark.parametrize(
    ("scalar", "readings", "advice"),
    [
        ("010", ("the number 8", "the number 10"), '8 or 10, or "010" for text'),
        ("0777", ("the number 511", "the number 777"), '511 or 777, or "0777" for text'),
        ("08", ("text", "the number 8"), '8, or "08" for text'),
        ("0o17", ("text", "the number 15"), '15, or "0o17" for text'),
        ("1:30", ("the number 90", "text"), '90, or "1:30" for text'),
        ("1:30.5", ("the number 90.5", "text"), '90.5, or "1:30.5" for text'),
        ("1e-3", ("text", "the number 0.001"), '1.0e-3, or "1e-3" for text'),
        ("1e3", ("text", "the number 1000.0"), '1000 or 1.0e+3, or "1e3" for text'),
        ("2.5e3", ("text", "the number 2500.0"), '2500 or 2.5e+3, or "2.5e3" for text'),
        ("+.5", ("text", "the number 0.5"), '0.5, or "+.5" for text'),
        ("yes", ("true", "text"), 'true, or "yes" for text'),
        ("Off", ("false", "text"), 'false, or "Off" for text'),
    ],
)
def test_both_readings_and_how_to_write_each(scalar, readings, advice):
    vct, dvc = readings
    said = f"is {vct} to vct and Snakemake (YAML 1.1) but {dvc} to DVC (YAML 1.2); write"
    assert disagreement(f"a: 1\nb: [0,\n  {scalar}]") == f"line 3: '{scalar}' {said} {advice}"
    assert disagreement(f"a: 1\n{scalar}: 2") == (f"line 2: the key '{scalar}' {said} \"{scalar}\"")


@pytest.mark.parametrize(
    "scalar",
    ["10", "0", "-3", "1.0e-3", "1.0e+3", ".5", "0x1F", "true", "~", "null", ".inf", "y", "'010'"],
)
def test_what_both_read_alike_is_accepted(scalar):
    assert disagreement(f"a: {scalar}\nb: [{scalar}]") is None


@pytest.mark.parametrize(
    "text",
    [
        (ROOT / "params.yaml").read_text(encoding="utf-8"),
        "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: [*b, *a], x: 3}\nd: {x: 4, <<: *a}",
        "a: &a [*a]",
        "",
    ],
)
def test_anchors_and_merges_are_no_disagreement(text):
    assert disagreement(text) is None


def check(path, text):
    """Refused in one sentence, or the same to DVC."""
    path.write_text(text, encoding="utf-8")
    try:
        found = yaml_file.read(path)
    except UserError:
        return
    assert same(found, parse_yaml(path.read_text(encoding="utf-8"), path)), text


PLACES = (
    "a: {0}\n",
    "{0}: 1\n",
    "a: [1, {0}]\n",
    "a: {{{0}: 1}}\n",
    "a: &x {{b: {0}}}\nc: {{<<: *x}}",
)


@pytest.mark.parametrize("place", PLACES)
def test_known_troublemakers(path, place):
    for scalar in KNOWN:
        check(path, place.format(scalar))


@given(st.sampled_from(PLACES), st.text(LETTERS, min_size=1, max_size=7))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_scalar(path, place, scalar):
    check(path, place.format(scalar))


def test_every_advice_can_be_followed():
    """Each form that is offered is read alike, and as what one of the two had read, or as text."""
    followed = 0
    for scalar in KNOWN:
        try:
            problem = disagreement(f"a: {scalar}")
        except (yaml.YAMLError, YAMLError):
            continue
        if problem and "; write " in problem:
            word = problem.split("'")[1]
            forms = re.split(r", or | or ", problem.split("; write ")[1].removesuffix(" for text"))
            meant = [yaml.safe_load(scalar), parse_yaml(f"a: {scalar}", "x")["a"], word]
            for form in forms:
                assert disagreement(f"a: {form}") is None, problem
                assert yaml.safe_load(form) in meant, problem
                followed += 1
    assert followed > 50


@pytest.mark.parametrize("content", ["", "\n\n", "# all is a comment\n", "---\n", "null", "~\n"])
def test_an_empty_file_is_called_empty(path, content):
    path.write_text(content)
    with pytest.raises(UserError, match=r"params\.yaml is empty; it must hold .*datasets"):
        reading.load(path)


@pytest.mark.parametrize(
    ("name", "number"), [("010", "10"), ("1e3", "1000.0"), ("1_0", "10"), ("Infinity", "inf")]
)
def test_a_suite_that_the_command_line_takes_for_a_number(name, number):
    """`snakemake --config suite=010` would look for suite 10."""
    with pytest.raises(UserError, match=rf"suites\.{name}: .* the number {number}; begin it"):
        reading.validate(params({f"suites.{name}": ["small"]}))
    assert reading.validate(params({"suites.2024": ["small"]})).suite("2024") == ["small"]
