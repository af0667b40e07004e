"""A training is not taken for that of another version of a user's class."""

import shutil

import pytest
import yaml
from support import params

from vct.lab import cli
from vct.lab.files.layout import RunId
from vct.lab.settings import own_code, reading
from vct.lab.settings.couplings import GeneratorAugmentedSettings
from vct.lab.settings.kernels import OwnKernelSettings
from vct.lab.settings.objectives import ICTSettings
from vct.lab.settings.run import run_settings

RUN = RunId("small", "mine", 0)
SOURCE = """
from vct.couplings.base import Coupling


class Mine(Coupling):
    def couple(self, x, eps, labels=None):
        return eps * {scale}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a class of its own, trained; its module has a name that no other test has."""
    monkeypatch.chdir(tmp_path)
    content = params({"runtime.tracking": False, "experiments.small.train.steps": 4})
    small = content["experiments"]["small"]
    small["couplings"] = {"mine": {"kind": "own_code_example.Mine"}}
    small["variants"] = ["mine"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    write(1.0)
    assert cli.main(["data", "points"]) == 0
    assert cli.main(["train", str(RUN)]) == 0
    return tmp_path


def write(scale, more=""):
    with open("own_code_example.py", "w", encoding="utf-8") as stream:
        stream.write(SOURCE.format(scale=scale) + more)


def forced(capsys):
    """What a training says whose outputs an engine has deleted."""
    shutil.rmtree(RUN.directory)
    capsys.readouterr()
    assert cli.main(["train", str(RUN)]) == 0
    return capsys.readouterr().err


def test_outputs_of_another_version_are_not_put_back(project, capsys):
    assert "put back" in forced(capsys)
    write(1.0, "# a remark, and\n\n# room\n")
    assert "put back" in forced(capsys)
    write(0.5)
    assert "put back" not in forced(capsys)


def test_only_own_classes_are_recorded(project):
    settings = run_settings(reading.load(), RUN)
    (hashed,) = own_code.own_code(settings)["own_code"].items()
    assert hashed[0] == "own_code_example.Mine" and len(hashed[1]) == 64
    assert own_code.own_code(settings.train) == {}


def test_what_a_class_imports_counts(tmp_path, monkeypatch):
    """Modules of the project, and what they import; nothing is run to find them."""
    monkeypatch.chdir(tmp_path)
    files = {
        "own_start.py": "import torch\nimport own_near\nfrom own_pack.deep import thing\n",
        "own_near.py": "import own_start\nraise SystemExit\n",
        "own_pack/__init__.py": "",
        "own_pack/deep.py": "from . import leaf\nfrom .leaf import x\nthing = 1\n",
        "own_pack/leaf.py": "x = 1\n",
        "own_other.py": "",
        "torch.txt": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    settings = {"a": ICTSettings(kind="ict"), "b": OwnKernelSettings(kind="own_start.Mine")}
    used = ["own_near.py", "own_pack/__init__.py", "own_pack/deep.py", "own_pack/leaf.py"]
    assert own_code.own_files(settings) == sorted([*used, "own_start.py"])
    before = own_code.own_code(settings)
    (tmp_path / "own_other.py").write_text("x = 2\n")
    (tmp_path / "own_near.py").write_text("import own_start  # a remark\nraise SystemExit\n")
    assert own_code.own_code(settings) == before
    (tmp_path / "own_pack/leaf.py").write_text("x = 2\n")
    assert own_code.own_code(settings) != before


def test_classes_within_couplings_count():
    own = {"kind": "some.Encoder"}
    base = {"kind": "variational", "kl_weight": 1, "encoder": own}
    coupling = GeneratorAugmentedSettings.model_validate(
        {"kind": "generator_augmented", "base": base}
    )
    assert list(own_code.own_classes(coupling)) == ["some:Encoder"]
