"""What each setting decides: both engines run the same stages again, and no others.

Nothing is trained: both are asked what they would compare. What a stage reads of the stages before
is looked at elsewhere (test_graph.py); here it is what stands in params.yaml, and the versions of
the code.
"""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from support import ROOT, plain

from vct.lab import versions
from vct.lab.errors import UserError
from vct.lab.settings import reading

RUNS = ("digits/ot/seed0", "digits/variational/seed0", "digits/semidiscrete/seed0")
EVERY_RUN = ("mixture/variational/seed0", *RUNS)
PREPARE, TRAIN, SAMPLE, SCORE = (
    [f"{stage} {run}" for run in RUNS] for stage in ("prepare", "train", "sample", "score")
)
REPORTS = ["table cpu", "figures cpu/digits", "report cpu"]
DECIDED = {
    ("train",): [*PREPARE, *TRAIN],
    ("couplings", "independent"): [],  # of no run
    ("couplings", "ot"): ["prepare digits/ot/seed0", "train digits/ot/seed0"],
    ("couplings", "variational"): [
        "prepare digits/variational/seed0",
        "train digits/variational/seed0",
    ],
    ("couplings", "semidiscrete"): [
        "prepare digits/semidiscrete/seed0",
        "train digits/semidiscrete/seed0",
    ],
    ("sample",): [*SAMPLE, *SCORE, "floor digits"],
    ("score",): [*SCORE, "floor digits"],
}
"""What each section of an experiment decides."""
OTHERS = {
    ("datasets", "digits", "test"): (400, ["data digits"]),
    ("extractors", "digits-classifier", "epochs"): (2, ["extractor digits-classifier"]),
    ("experiments", "digits", "seeds"): ([0, 1], REPORTS),
    ("experiments", "digits", "variants"): (["semidiscrete", "variational", "ot"], REPORTS),
    ("runtime", "threads"): (2, []),
    ("runtime", "tracking"): (False, []),
    ("runtime", "checkpoint_every"): (7, []),
}
VERSIONS = {
    "DATA": ["data mixture", "data digits"],
    "PREPARATION": PREPARE,
    "TRAINING": [f"train {run}" for run in EVERY_RUN],
    "TRAINING_WITH_DROPOUT": [],  # which no network here has
    "SAMPLING": [f"sample {run}" for run in EVERY_RUN],
    "SCORING": [
        "extractor digits-classifier",
        "statistics digits/digits-classifier/moments",
        "floor mixture",
        "floor digits",
        *(f"score {run}" for run in EVERY_RUN),
    ],
    "DIAGNOSTICS": [],  # which are asked for by no experiment here
    "REPORTING": ["table cpu", "figures cpu/mixture", "figures cpu/digits", "report cpu"],
}
UNCHANGED = {
    *("train.dataset", "score.extractor", "score.metric"),
    *("train.ema.width", "train.optimizer.reference_step"),
}
"""Knobs that have no other value for these data, or with this average and schedule."""


@pytest.fixture(scope="module")
def project(project):
    """With a coupling that prepares something."""
    params = project.params()
    digits = params["experiments"]["digits"]
    digits["variants"].append("semidiscrete")
    digits["couplings"]["semidiscrete"] = {"iterations": 10}
    project.write_params(params)
    project.run("vct", "dvc", "cpu")
    return project


# --- every knob of a run, and another value for it ------------------------------------------------


def leaves(tree, path=()):
    """Paths of all values that are no sections."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def others(value):
    """What might stand there instead."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value + 2, 2 * value, value // 2]
    if isinstance(value, float):
        return [0.9 * value, 1.1 * value, 0.5]
    if isinstance(value, list):
        return [*([*value[:-1], one] for last in value[-1:] for one in others(last)), *NEW_LISTS]
    return [*WORDS, 1, 0.5, *NEW_LISTS]


NEW_LISTS = [[], [1], [0.5], ["kid"]]


def words(schema):
    """All that may be chosen somewhere."""
    if isinstance(schema, dict):
        yield from filter(None, [schema.get("const"), *schema.get("enum", [])])
    for part in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(part, dict | list):
            yield from words(part)


WORDS = sorted(
    {*words(json.loads((ROOT / "params.schema.json").read_text(encoding="utf-8")))}, key=str
)


def changed(params, path, value):
    """The settings with another value at a path; what stood there shortly becomes a section."""
    content = plain(params)
    section = content
    for key in path[:-1]:
        if not isinstance(section.get(key), dict):
            section[key] = {}
        section = section[key]
    section[path[-1]] = value
    return content


def another(params, path, value):
    """The settings with a valid other value there, None if none is found."""
    before = reading.validate(params)
    for other in others(value):
        for content in (
            changed(params, path, other),
            changed(params, path[:-1], {path[-1]: other}),  # of a kind with other keys
        ):
            try:
                if reading.validate(content) != before:
                    return content
            except UserError:
                continue
    return None


def knobs(params):
    """Each knob of the runs of `digits`: its name, settings with another value, the stages."""
    settings = reading.validate(params).experiments["digits"]
    tree = settings.model_dump(mode="json", include={"train", "couplings", "sample", "score"})
    for path, value in leaves(tree):
        content = another(params, ("experiments", "digits", *path), value)
        stages = next(stages for start, stages in DECIDED.items() if path[: len(start)] == start)
        yield ".".join(path), content, stages


@pytest.fixture(scope="module")
def cases(project):
    """Name, settings, raised versions, and the stages that are to be run again."""
    params = project.params()
    every = list(knobs(params))
    assert {name for name, content, _ in every if content is None} == UNCHANGED
    assert len(every) > 50
    found = [(name, content, {}, stages) for name, content, stages in every if content]
    for path, (value, stages) in OTHERS.items():
        found.append((".".join(path), changed(params, path, value), {}, stages))
    for name, stages in VERSIONS.items():
        found.append((name, params, {name: 99}, stages))
    return [(*case, with_priors(params, stages)) for *case, stages in found]


def with_priors(params, stages):
    """A prior is fitted by a stage of its own where samples start from it too."""
    sampled = [stage.removeprefix("sample ") for stage in stages if stage.startswith("sample ")]
    settings = {run: params["experiments"][run.split("/")[0]]["sample"] for run in sampled}
    return [*stages, *(f"prior {run}" for run in sampled if "priors" in settings[run])]


def differences(cases, before, found):
    """Cases that run other stages again than they should: too many, and too few.

    Args:
        before: what an engine compares of the settings, by stage.
        found: the same for each case.
    """
    wrong = {}
    for (name, *_, expected), after in zip(cases, found, strict=True):
        kept = before.keys() & after.keys()
        stages = {stage for stage in kept if after[stage] != before[stage]}
        if stages != kept & set(expected):
            wrong[name] = (sorted(stages - set(expected)), sorted(kept & set(expected) - stages))
    return wrong


# --- the engines ----------------------------------------------------------------------------------


def test_snakemake_runs_again_what_a_knob_decides(project, cases):
    params = project.params()
    given = [(params, {}), *((content, raised) for _, content, raised, _ in cases)]
    texts = [(yaml.safe_dump(content, sort_keys=False), raised) for content, raised in given]
    script = str(Path(__file__).with_name("changes.py"))
    try:
        said = project.run(sys.executable, script, given=json.dumps(texts)).stdout
    finally:
        project.write_params(params)
    before, *found = json.loads(said)
    assert differences(cases, before, found) == {}


def test_dvc_runs_again_what_a_knob_decides(project, cases):
    params = project.params()
    file = project.folder / "src/vct/lab/versions.py"
    text = file.read_text()
    before, found = compared_by_dvc(project), []
    try:
        for _, content, raised, _ in cases:
            project.write_params(content)
            for name in raised:
                file.write_text(re.sub(rf"^{name} = .*$", f"{name} = 99", text, flags=re.MULTILINE))
            found.append(compared_by_dvc(project))
            file.write_text(text)
    finally:
        project.write_params(params)
        file.write_text(text)
    assert differences(cases, before, found) == {}


def compared_by_dvc(project):
    """What DVC compares of params.yaml and the versions, by command."""
    with Repo(str(project.folder)) as repo:
        return {
            first(stage.cmd): {dep.fs_path: dep.read_params() for dep in stage.params}
            for stage in repo.index.stages
        }


def first(cmd):
    """The command of a stage, or the first of several."""
    return (cmd if isinstance(cmd, str) else cmd[0]).removeprefix("vct ")


def test_both_engines_were_asked_about_all_stages_and_versions(cases):
    asked = {stage for *_, stages in cases for stage in stages}
    assert {stage.split()[0] for stage in asked} - {"prior"} == {
        *("data", "extractor", "statistics", "prepare", "train", "sample", "floor", "score"),
        *("table", "figures", "report"),
    }
    assert set(VERSIONS) == {name for name in vars(versions) if name.isupper()}
