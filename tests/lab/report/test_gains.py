"""The figure of gains."""

import numpy as np
import pandas as pd
import pytest

from vct.lab.report import names
from vct.lab.report.gains import COLUMNS, apart, gains_figure


def test_labels_of_near_places_do_not_run_into_each_other():
    assert apart([1500, 1650, 1800, 2400]) == [1500, 1800, 2400]
    assert apart([64, 196, 784]) == [64, 196, 784] and apart([]) == []


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """What `gains_figure` draws of rows (dataset, objective, steps, coupling, gain), of the same
    seeds unless these are given by steps."""

    def draw(*rows, seeds=None):
        frame = pd.DataFrame(rows, columns=["dataset", "objective", "steps", "coupling", "gain"])
        frame = frame.assign(experiment="e", dimension=64, n=3)
        frame["seeds"] = [frozenset((seeds or {}).get(steps, (0, 1))) for steps in frame["steps"]]
        frame = frame.assign(low=frame["gain"] - 0.1, high=frame["gain"] + 0.1)
        kept = []
        monkeypatch.setattr(
            "vct.lab.report.style.save", lambda figure, *a, **k: kept.append(figure)
        )
        labels = {"ot": "OT", "loom": "LOOM"} | {
            row: row for row in frame["coupling"] if "/" in row
        }
        gains_figure(tmp_path / "gains.png", frame[COLUMNS], labels)
        return kept[0].axes

    return draw


def test_several_objectives_stand_side_by_side_for_each_data_set(drawn):
    places = {("a", "iCT"): 1.0, ("a", "sCT"): 2.0, ("b", "iCT"): 3.0, ("b", "sCT"): 4.0}
    rows = [
        (data, kind, 10, name, gain + 0.5 * (name == "loom"))
        for (data, kind), gain in places.items()
        for name in ("ot", "loom")
    ]
    axes = drawn(*rows)
    assert [each.get_xlabel() for each in axes] == ["a", "b"]
    for each, first in zip(axes, (1.0, 3.0), strict=True):
        assert [tick.get_text() for tick in each.get_xticklabels()] == ["iCT", "sCT"]
        lines = {box.get_label(): box.lines[0] for box in each.containers}
        for name, shift in (("OT", 0.0), ("LOOM", 0.5)):
            x, y = lines[name].get_data()
            assert lines[name].get_linestyle() == "None"
            assert np.rint(x.astype(float)).tolist() == [0, 1]
            assert y.tolist() == [100 * (first + shift), 100 * (first + 1 + shift)]
        assert (lines["OT"].get_xdata() < lines["LOOM"].get_xdata()).all()


def test_one_objective_is_told_along_dimension_and_steps(drawn):
    axes = drawn(("a", "iCT", 10, "ot", 1.0), ("a", "iCT", 20, "ot", 2.0))
    assert [each.get_xlabel() for each in axes] == ["dimension of the data", "training steps, a"]
    assert axes[0].containers[0].lines[0].get_ydata().tolist() == [100]
    assert axes[1].containers[0].lines[0].get_ydata().tolist() == [100, 200]


def test_every_prior_is_drawn_and_looks_its_own_way(drawn):
    rows = ["ot", *(names.row("ot", prior) for prior in names.PRIORS)]
    axes, _ = drawn(*(("a", "iCT", 10, row, 1.0) for row in rows))
    lines = [box.lines[0] for box in axes.containers]
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == len(rows)


@pytest.mark.parametrize("count", [2, 6, 9, 12])
def test_a_long_legend_covers_nothing(drawn, count):
    rows = ["ot", *(f"ot {number}/fitted" for number in range(count - 1))]
    axes = drawn(*(("a", "iCT", 10, row, 1.0) for row in rows))
    figure = axes[0].figure
    figure.draw_without_rendering()
    top = figure.legends[0].get_window_extent().y1
    assert all(each.xaxis.label.get_window_extent().y0 > top for each in axes)


def test_trainings_of_other_seeds_are_not_joined(drawn):
    rows = [("a", "iCT", steps, "ot", steps / 100) for steps in (10, 11, 20)]
    axes = drawn(*rows, seeds={11: (7, 8), 20: (1, 9)})
    assert axes[1].containers[0].lines[0].get_ydata().tolist() == [10, 20]


def test_the_axis_ends_where_gains_do_and_shows_zero(drawn):
    """Nobody gains more than all; intervals of few seeds say that they might."""
    for each in drawn(("a", "iCT", 10, "ot", 0.7), ("a", "iCT", 20, "ot", 1.4)):
        low, high = each.get_ylim()
        assert low <= 0 and 70 < high <= 100


def test_nothing_yet_is_an_empty_figure(drawn):
    assert len(drawn()) == 2
