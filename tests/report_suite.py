"""A suite of the made-up runs of conftest.py, for tests of its report."""

from pathlib import Path

from support import params as small_params

from vct.lab.report import style
from vct.lab.settings import reading


def suite_params(**changes):
    """params.yaml of the runs of the fixture `project`."""
    content = small_params()
    small, pictures = (content["experiments"].pop(name) for name in ("small", "pictures"))
    pictures = {**pictures, "couplings": small["couplings"]}
    pictures["train"] = {**pictures["train"], "kernel": "ve", "objective": {"kind": "ict"}}
    two = ["independent", "ot"]
    content["experiments"] = {
        "digits_small": {**pictures, "variants": [*two, "variational"], "seeds": [0, 1, 2]},
        "digits_li": {
            **pictures,
            "train": {**pictures["train"], "kernel": "li"},
            "variants": two,
            "seeds": [0],
        },
        "mixture": {**small, "variants": ["independent"], "seeds": [0, 1]},
    }
    rivals = {"primary": "steps1", "rivals": two}
    content["suites"] = {
        "told": {"experiments": ["digits_small", "digits_li"], **rivals},
        "plain": ["mixture"],
        "all": ["digits_small", "digits_li", "mixture"],
        **changes,
    }
    return reading.validate(content)


def picture(name, width=30, height=20, colour="#E69F00"):
    path = Path("results") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with style.style():
        made = style.figure(width, height)
        made.text(0.5, 0.5, "x", color=colour)
        style.save(made, path)
    return path
