"""The figure of diagnostics: only what was measured, and a legend that covers nothing."""

import pandas as pd
import pytest

from vct.lab.report.diagnostics_figure import PANELS, diagnostics_figure


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """The figure of so many couplings, of what is called so."""

    def draw(count, measured):
        names = {f"c{number}": f"coupling {number}" for number in range(count)}
        rows = [
            ("e", name, what, t, 1.0 + t, 0.1)
            for name in names
            for what in measured
            for t in (1, 9)
        ]
        columns = ["experiment", "coupling", "name", "t", "mean", "sd"]
        kept = []
        monkeypatch.setattr(
            "vct.lab.report.style.save", lambda figure, *a, **k: kept.append(figure)
        )
        path = tmp_path / "diagnostics.png"
        diagnostics_figure(path, pd.DataFrame(rows, columns=columns), {"e": names})
        return kept[0]

    return draw


@pytest.mark.parametrize("measured", [["ambiguity_bound"], ["gradient_noise", "dimension"]])
def test_a_panel_is_of_what_was_measured(drawn, measured):
    titles = [axes.get_title("left") for axes in drawn(2, measured).axes]
    assert titles == [PANELS[name] for name in measured]


@pytest.mark.parametrize(
    ("count", "measured"), [(3, [*PANELS]), (9, [*PANELS]), (9, [*PANELS][:2])]
)
def test_the_legend_covers_nothing(drawn, count, measured):
    figure = drawn(count, measured)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert all(axes.xaxis.label.get_window_extent().y0 > legend.y1 for axes in figure.axes)
    assert legend.x0 > 0 and legend.x1 < figure.bbox.width
