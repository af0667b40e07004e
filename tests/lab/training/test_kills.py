"""A part of `make faults`: trainings that are killed, and whose disk, memory or files fail."""

import shutil

import pytest
from faults import damages, killing, kills, variants

# Each objective, kernel, kind of data and way to divide a batch; `make faults` tries all couplings.
CHOSEN = [
    variants.Variant("gc", "ecm", "li", "points"),
    variants.Variant("ot", "ict", "ve", "images"),
    variants.Variant("variational", "ict", "ve", "points"),
    variants.Variant("variational", "ict", "ve", "averages"),
    variants.Variant("sinkhorn", "ecm", "li", "images", processes=2, micro_batch=4),
]
TRIED = [
    "all checkpoints damaged",
    "checkpoint of other settings",
    "second training of one run",
    "memory exhausted",
    "disk full at eight moments",
    "disk became read-only",
]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with all variants, and the server from which killed processes are forked."""
    folder = tmp_path_factory.mktemp("faults") / "project"
    variants.make(folder)
    killing.run(folder, "check")
    return folder


@pytest.fixture(scope="module")
def reference(project):
    """The undisturbed training of a variant, made once."""
    known = {}

    def find(variant):
        if variant not in known:
            folder = project.with_name(f"reference{len(known)}")
            known[variant] = kills.reference(project, variant, folder)
        return known[variant]

    return find


@pytest.mark.parametrize("number", range(len(CHOSEN)))
def test_killed_training_ends_like_an_undisturbed_one(project, reference, number, tmp_path):
    variant = CHOSEN[number]
    trial = kills.trial(project, variant, tmp_path / "trial", reference(variant), 2, number)
    assert trial.kills == 2
    assert trial.identical, trial.output


@pytest.mark.parametrize("name", TRIED)
def test_fault_is_survived(project, reference, name, tmp_path):
    variant = CHOSEN[2]
    shutil.copytree(project, tmp_path / "project")
    problem = damages.FAULTS[name](tmp_path / "project", variant, reference(variant))
    if problem.startswith("not tried"):
        pytest.skip(problem)
    assert not problem
