"""The large suites, as the two engines would run them on a fresh clone."""

import re

import pytest
from support import real_params


@pytest.fixture(scope="module")
def fresh(project):
    """The project with its own params.yaml; neither raw images nor checkpoints are there."""
    project.write_params(real_params())
    for suite in ("cpu", "mnist", "study", "couplings", "paper"):
        project.run("vct", "dvc", suite)
    return project


def commands(pattern, text):
    found = re.findall(pattern, text, flags=re.MULTILINE)
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize(
    ("suite", "count", "one"),
    [
        ("paper", 30, "ict-cifar10-ve/gc-vc/seed0"),
        ("study", 368, "study-mnist14/ot/seed17"),
        ("couplings", 280, "couplings-digits-mean-flow/loom/seed4"),
    ],
)
def test_both_engines_list_the_same_stages(fresh, suite, count, one):
    planned = fresh.snakemake("-n", "-p", "--config", f"suite={suite}").stdout
    by_snakemake = commands(r"^ +exec (vct .*?) > ", planned)
    # Without --force, DVC stops a dry run where the file of an earlier stage is not there yet.
    listed = fresh.run("dvc", "repro", "--dry", "--force", f"dvc/{suite}/dvc.yaml").stdout
    assert commands(r"^> (vct .*)$", listed) == by_snakemake
    trained = {command.split()[-1] for command in by_snakemake if command.startswith("vct train")}
    assert len(trained) == count and one in trained
    prepared = {command.split()[-1] for command in by_snakemake if "vct prepare" in command}
    experiments = real_params()["experiments"]
    prepare = {name for name, one in experiments.items() if "semidiscrete" in one["variants"]}
    assert prepared == {run for run in trained if run.partition("/")[0] in prepare}
    assert bool(prepared) == (suite == "couplings")
    diagnosed = [each for each in by_snakemake if each.startswith("vct diagnose")]
    assert bool(diagnosed) == (f"vct explain {suite}" in by_snakemake) == (suite != "paper")


def test_missing_files_are_one_sentence_of_their_stage(fresh):
    checkpoint = "edm-cifar10-32x32-uncond-vp"
    for target, words in (
        (f"pretrained/{checkpoint}.safetensors", (f"{checkpoint}.pkl", "cifar10-edm")),
        ("data/ffhq64/meta.json", ("data/raw/ffhq64 is missing", "put the images there")),
    ):
        result = fresh.snakemake(target, ok=False)
        text = result.stdout + result.stderr
        assert result.returncode != 0
        assert all(word in text for word in words), text
        assert "Traceback" not in text and "MissingInputException" not in text
