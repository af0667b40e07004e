"""Samples of the same weights that start from other priors are rows of their own."""

import json
from pathlib import Path

from vct.lab.report.collect import collect
from vct.lab.report.summary import tidy
from vct.lab.report.table import write_table
from vct.lab.settings.suite import SuiteSettings


def with_priors(project, digits, scored_again):
    """Variational runs of `digits` score 20 (fitted) and 1 (aggregate) with one step."""
    for seed in digits.seeds:
        folder = project / f"results/{digits.experiment}/variational/seed{seed}"
        path = folder / "metrics.json"
        more = {
            "fitted-steps1": {"fid_classifier": 20 + seed},
            "aggregate-steps1": {"fid_classifier": 1 + seed},
        }
        path.write_text(json.dumps({**json.loads(path.read_text()), **more}))
        scored_again(folder)


def test_each_prior_is_a_row(project, digits, scored_again):
    with_priors(project, digits, scored_again)
    collected = collect([digits])
    frame = tidy(collected).set_index(["coupling", "metric", "steps"])
    assert frame.loc[("variational/fitted", "fid_classifier", 1), "mean"] == 21
    assert frame.loc[("variational/aggregate", "fid_classifier", 1), "mean"] == 2
    assert frame.loc[("variational", "fid_classifier", 1), "mean"] == 52
    write_table(collected, Path("results/cpu"), SuiteSettings(experiments=["any"]))
    rows = Path("results/cpu/table.md").read_text()
    assert "| variational, fitted prior | 21.00 ± 1.00 (3) | – | – |" in rows
    assert "| variational, aggregate posterior | 2.00 ± 1.00 (3) | – | – |" in rows
