"""Files that others look for: the workflow catalog's, the container's, the editor's."""

import json
import re

import pytest
import yaml
from support import ROOT

import vct
from vct.lab.settings import reading
from vct.lab.workflow import graph


def test_the_catalog_finds_the_workflow():
    listed = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    assert set(listed["usage"]) == {"mandatory-flags", "software-stack-deployment", "report"}
    for name in ("workflow/Snakefile", "config/README.md", ".test/params.yaml"):
        assert (ROOT / name).is_file()
    # Nothing but the way to the other one: who calls either gets the same.
    assert "workflow/Snakefile" in (ROOT / "Snakefile").read_text()
    assert len((ROOT / "Snakefile").read_text().splitlines()) == 1


def test_the_settings_of_the_trial_are_valid_and_small():
    params = reading.load(ROOT / ".test/params.yaml")
    runs = params.suite_runs(graph.DEFAULT_SUITE)
    assert len(runs) == 2
    assert all(params.experiment(run.experiment).train.steps <= 50 for run in runs)


def test_the_readme_of_the_configuration_names_every_section():
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    sections = set(yaml.safe_load((ROOT / ".test/params.yaml").read_text())) | {"runtime"}
    assert sections == set(re.findall(r"^\| `(\w+)`", text, flags=re.MULTILINE))


def test_what_the_container_copies_is_there():
    text = (ROOT / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.*) \S+$", text, flags=re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split())
    content = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert (ROOT / ".devcontainer" / content["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("name", ["date-released", "repository-code"])
def test_the_citation_leaves_to_the_owner_what_is_theirs(name):
    text = (ROOT / "CITATION.cff").read_text()
    assert name in text and name not in yaml.safe_load(text)


def test_all_public_names_are_seen_before_they_are_imported():
    assert {"Coupling", "ModelOT", "load"} < set(vct.__all__) <= set(dir(vct))
