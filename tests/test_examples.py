"""The examples run, with no more than what they say they need."""

import subprocess
import sys

import pytest
import yaml
from support import ROOT, params

from vct.lab import cli

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
ABSENT = "pandas pydantic snakemake dvc mlflow yaml torchvision safetensors sklearn matplotlib"
RUN = "small/variational/seed0"
ALONE = f"import sys; sys.modules.update(dict.fromkeys({ABSENT.split()}))\n"
"""As if these were not installed."""


def run(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("path", EXAMPLES[1:3], ids=lambda path: path.stem)
def test_library_examples_need_no_engine(path):
    assert run(f"{ALONE}import runpy; runpy.run_path({str(path)!r}, run_name='__main__')")


def test_the_loop_learns_where_the_modes_are():
    """Fewer steps than in the example; its text is otherwise the same."""
    text = EXAMPLES[0].read_text()
    assert "steps, size = (2, 1, 1), 2000, 128" in text
    assert len([line for line in text.splitlines() if line and not line.startswith('"""')]) <= 25
    said = run(ALONE + text.replace("2000, 128", "150, 64"))
    assert "the data's: 0.50" in said


def test_trained_model_is_sampled_and_encoded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = {"runtime.tracking": False, "experiments.small.train.steps": 3}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params(changes)))
    for stage in (["data", "points"], ["train", RUN]):
        assert cli.main(stage) == 0
    given = f"import runpy, sys; sys.argv[1:] = ['results/{RUN}']"
    said = run(f"{given}; runpy.run_path({str(EXAMPLES[4])!r})")
    assert "samples of shape (2, 1, 1)" in said and "the coupling gives to them" in said


def test_each_step_of_a_pool_has_its_part():
    """Fewer steps than in the example."""
    text = EXAMPLES[5].read_text()
    assert "steps, size = (2, 1, 1), 2000, 128" in text
    said = run(ALONE + text.replace("2000, 128", "80, 32"))
    assert "256 images of a pool share 64 noises" in said and "the data's: 0.50" in said


def test_results_are_read_from_the_committed_table():
    said = run(f"import runpy; runpy.run_path({str(EXAMPLES[3])!r}, run_name='__main__')")
    assert "variational against independent" in said
