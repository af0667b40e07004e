"""The schema that editors use accepts what the settings accept, and is the committed one."""

import json

import jsonschema
import pytest
from support import ROOT, params, plain, real_params, section

from vct.lab import cli
from vct.lab.files.whole import read_text
from vct.lab.settings import reading, schema

SCHEMA = schema.schema()


def accepts(content):
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(content)


def changed(key, value):
    """The project's params.yaml with one key changed, or removed where the value is None."""
    content = real_params()
    *path, last = key.split(".")
    if value is None:
        del section(content, path)[last]
    else:
        section(content, path)[last] = value
    return content


def test_the_committed_schema_is_that_of_the_settings():
    written = json.loads(read_text(ROOT / schema.SCHEMA))
    assert written == SCHEMA, "write it again with: vct schema"
    jsonschema.Draft202012Validator.check_schema(written)


def test_the_settings_of_the_project_fit():
    jsonschema.validate(real_params(), SCHEMA)
    jsonschema.validate(params(), SCHEMA)


def test_settings_with_all_defaults_written_out_fit():
    whole = reading.validate(real_params()).model_dump(mode="json")
    jsonschema.validate(plain(whole), SCHEMA)


def test_params_name_the_schema_for_editors():
    first = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={schema.SCHEMA}"


@pytest.mark.parametrize(
    ("key", "value", "valid"),
    [
        ("experiments.digits.couplings.sinkhorn", {}, True),  # the name is the kind
        ("experiments.digits.couplings.mine", {"kind": "ot"}, True),
        ("experiments.digits.couplings.mine", {"kind": "own.Coupling", "options": {}}, True),
        ("experiments.digits.couplings.ot", {"kind": "sinkhorn", "entropy": 1.0}, True),
        ("experiments.digits.couplings.mine", {}, False),
        ("experiments.digits.couplings.ot", {"entropy": 1.0}, False),
        ("experiments.digits.couplings.variational", {"encoder": {"kind": "mlp"}}, False),
        ("datasets.faces", {"source": "image_folder", "test": "own"}, True),
        ("datasets.faces", {"source": "image_folder"}, False),
        ("experiments.digits.train.stepz", 5, False),
        ("experiments.digits.train.steps", 0, False),
        ("experiments.digits.train.steps", "5", False),
        ("experiments.digits.train.kernel", {"kind": "li"}, True),
        ("experiments.digits.train.kernel", "own.Kernel", True),
        ("experiments.digits.train.kernel", "vee", False),
        ("experiments.digits.score", None, False),
        ("runtime.device", "gpu", False),
    ],
)
def test_what_fits_fits_in_both(key, value, valid):
    content = changed(key, value)
    assert accepts(content) is valid
    if valid:
        reading.validate(content)
    else:
        with pytest.raises(reading.UserError):
            reading.validate(content)


def test_command_writes_it_whatever_params_hold(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("nonsense: [")
    assert cli.main(["schema"]) == 0
    assert json.loads(read_text(tmp_path / schema.SCHEMA)) == SCHEMA
