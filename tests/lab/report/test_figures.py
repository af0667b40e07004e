"""Figures: sizes in pixels, something drawn, the same bytes twice, and the numbers they print."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vct.lab import records
from vct.lab.errors import UserError
from vct.lab.report import style
from vct.lab.report.couplings_figure import CouplingPanel, Modes, Paths, couplings_figure
from vct.lab.report.curves import curves_figure, read_histories
from vct.lab.report.grids import GridPanel, sample_grids, tile
from vct.lab.report.preview import preview
from vct.lab.runs.samples import key_of

MEANS = [[0.0, -0.5], [0.0, 0.5]]
MODES = Modes(np.asarray(MEANS, dtype=float), 0.05)
TIMES = np.geomspace(0.01, 80, 60)
PATHS = Paths(TIMES, 1 - TIMES / 80, 0.5)


def pixels(path):
    with Image.open(path) as image:
        assert set(image.info) <= {"transparency", "dpi"}  # no time, no version of the writer
        return np.asarray(image.convert("RGB"))


def assert_good(path, size=None):
    """Drawn on white up to its margins, and small enough to be committed."""
    array = pixels(path)
    if size is not None:
        assert style.size(path) == size
        assert (array.shape[1], array.shape[0]) == (2 * size[0], 2 * size[1])
    assert (array != 255).any(axis=2).mean() > 0.02
    border = np.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])
    assert (border == 255).all()
    assert path.stat().st_size < 300_000


def panels(names=("independent", "ot", "variational"), count=300):
    generator = np.random.default_rng(0)
    draw = generator.standard_normal
    x = np.asarray(MEANS)[np.arange(count) % 2] + 0.05 * draw((count, 2))
    noise = draw((count, 2))
    made = np.asarray(MEANS)[(noise[:, 1] > 0).astype(int)] + 0.1 * draw((count, 2))
    return [CouplingPanel(name, x, draw((count, 2)), noise, made) for name in names]


def images(count, channels=1, size=8):
    shape = (count, channels, size, size)
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)


def test_couplings_figure(tmp_path):
    path = tmp_path / "couplings.png"
    couplings_figure(path, panels(), MODES, PATHS, "mixture")
    assert_good(path, (944, 1080))


def test_couplings_figure_of_one_coupling_with_a_collapsed_model(tmp_path):
    only = panels(("own.module.Coupling",))[0]
    only.samples[:] = 0
    only = replace(only, key="heun18")
    couplings_figure(tmp_path / "one.png", [only], MODES, PATHS)
    assert_good(tmp_path / "one.png")


@pytest.mark.parametrize("first", ["standard", "fitted"])
def test_a_panel_shows_what_its_noise_becomes_whatever_prior_is_named_first(first):
    """samples.npz holds the noise of the standard start alone."""
    second = {"standard": "fitted", "fitted": "standard"}[first]
    keys = [key_of(prior, f"steps{n}") for prior in (first, second) for n in (2, 1)]
    arrays = {key: np.full((3, 2, 1, 1), len(key)) for key in keys}
    arrays |= {key: np.zeros((3, 2, 1, 1)) for key in ("pair_x", "pair_z", "noise")}
    panel = CouplingPanel.of("variational", arrays)
    assert panel.key == "steps1" and (panel.samples == len("steps1")).all()


def test_modes_tell_inside_from_outside():
    points = np.array([[0, 0.4], [0.19, -0.5], [0, 0], [0.3, 0.5], [np.nan, 0]])
    assert MODES.nearest(points[:2]).tolist() == [1, 0]
    assert MODES.outside(points).tolist() == [False, False, True, True, True]
    assert MODES.axis == 1


def test_data_that_record_no_modes_are_one():
    x = np.random.default_rng(0).normal([3, -1], 0.5, (4000, 2)).astype(np.float32)
    modes = Modes.of(None, x[:, :, None, None])
    assert modes.means == pytest.approx(np.array([[3, -1]]), abs=0.05)
    assert modes.std == pytest.approx(0.5, rel=0.05)
    assert modes.outside(x).mean() < 0.01 and modes.outside(np.array([[30.0, 0]])).all()
    assert Modes.of(records.Modes(means=MEANS, std=0.05), x).means.tolist() == MEANS


def test_paths_of_independent_pairs_have_unit_variance_at_all_times():
    draw = np.random.default_rng(0).standard_normal
    paths = PATHS.scaled(0.5 * draw(20_000), draw(20_000))
    assert paths.std(axis=0) == pytest.approx(np.ones(60), rel=0.03)
    x, z = np.array([0.3]), np.array([-1.0])
    assert PATHS.scaled(x, z)[0, -1] == pytest.approx(-1)  # at T nothing is left of the data


def test_tile_repeats_pixels_in_row_order():
    sheet = tile(np.arange(12, dtype=np.uint8).reshape(3, 1, 2, 2), side=2, scale=3, gap=1)
    assert sheet.shape == (13, 13, 3)
    assert (sheet[:3, :3] == 0).all() and (sheet[:3, 3:6] == 1).all()
    assert (sheet[:3, 7:10] == 4).all() and (sheet[7:10, :3] == 8).all()
    assert (sheet[6] == sheet[12, 12]).all() and (sheet[7:, 7:] == sheet[12, 12]).all()


def test_tile_keeps_colours():
    image = np.zeros((1, 3, 2, 2), dtype=np.uint8)
    image[0, 0] = 200
    assert (tile(image, side=1, scale=2) == [200, 0, 0]).all()


def test_sample_grids_show_unsmoothed_images(tmp_path):
    path = tmp_path / "samples.png"
    shown = images(64)
    rows = [GridPanel(c, r, shown) for c in ("independent", "ot") for r in ("1 step", "2 steps")]
    sample_grids(path, rows, images(100))
    edge = 8 * (8 * 4 + 2) - 2
    assert_good(path, (72 + 3 * edge + 2 * 18 + 14, 28 + 2 * edge + 18 + 14))
    array = pixels(path)
    assert (array[::2] == array[1::2]).mean() > 0.99  # the images; letters are sharper
    array = array[::2, ::2]
    assert (array[28 : 28 + edge, 72 + edge + 18 :][:, :edge] == tile(shown, 8, 4)).all()


def test_sample_grids_of_photographs_stay_small(tmp_path):
    rows = [GridPanel(c, r, images(64, 3, 32)) for c in "abc" for r in ("1 step", "2 steps")]
    sample_grids(tmp_path / "colour.png", rows, images(64, 3, 32))
    assert_good(tmp_path / "colour.png")


@pytest.mark.parametrize(
    "samples",
    [
        images(70),
        images(3),
        panels()[0].samples.astype(np.float32)[:, :, None, None],
        np.full((10, 2, 1, 1), np.nan, dtype=np.float32),
    ],
)
def test_preview(tmp_path, samples):
    path = tmp_path / "preview.png"
    preview(path, {"steps1": samples, "steps2": samples})
    assert_good(path)
    with Image.open(path) as image:  # many are kept: each of them small
        assert "dpi" not in image.info and image.size == style.size(path)


def test_curves_of_an_experiment(project, digits, tmp_path):
    histories = read_histories(digits)
    assert histories.metric == "fid_classifier"
    assert len(histories.training) == 9 * 4 and len(histories.trajectory) == 9 * 2
    curves_figure(tmp_path / "curves.png", histories, digits, 2.1)
    assert_good(tmp_path / "curves.png", (1118, 406))


@pytest.fixture
def figures(monkeypatch):
    """Figures as they are before they become files."""
    found = []
    monkeypatch.setattr(style, "save", lambda figure, *_, **__: found.append(figure))
    return found


def test_lines_are_means_over_seeds_and_bands_reach_from_lowest_to_highest(
    project, digits, tmp_path, figures
):
    histories = read_histories(digits)
    seeds = np.array(digits.seeds)
    training = histories.training
    training = training.assign(consistency_loss=training["step"] + 10.0 ** training["seed"])
    curves_figure(tmp_path / "x.png", replace(histories, training=training), digits, 2.1)
    loss, kl, distance = figures[0].axes
    assert [axes.get_title(loc="left") for axes in (loss, kl, distance)] == [
        "consistency loss",
        "KL to the prior (nats)",
        "FD (classifier), 1 step",
    ]
    couplings = list(digits.couplings.values())
    steps = np.array([10, 20, 30, 40])
    for axes, x, values in (
        (loss, steps, steps[:, None] + 10.0**seeds),
        (distance, steps[[1, 3]], 100 / steps[[1, 3]][:, None] + seeds),
    ):
        lines = {line.get_label(): line for line in axes.lines}
        bands = axes.collections
        assert [label for label in lines if label in couplings] == couplings
        for coupling, band in zip(couplings, bands, strict=True):
            assert lines[coupling].get_xdata().tolist() == x.tolist()
            assert lines[coupling].get_ydata() == pytest.approx(values.mean(axis=1))
            edge = band.get_paths()[0].vertices
            for at, row in zip(x, values, strict=True):
                heights = edge[edge[:, 0] == at, 1]
                assert (heights.min(), heights.max()) == pytest.approx((row.min(), row.max()))
    assert [line.get_label() for line in kl.lines] == ["variational"]
    floor = {line.get_label(): line for line in distance.lines}["held-out real data"]
    assert set(floor.get_ydata()) == {2.1}
    assert "held-out real data" not in {line.get_label() for line in loss.lines}


def test_a_seed_without_a_number_leaves_none_of_all_seeds(project, digits, tmp_path, figures):
    histories, seed = read_histories(digits), digits.seeds[0]
    training = histories.training
    gone = (training["seed"] == seed) & (training["step"] == 20)
    training = training.assign(consistency_loss=training["consistency_loss"].where(~gone))
    curves_figure(tmp_path / "x.png", replace(histories, training=training), digits)
    for line in figures[0].axes[0].lines[: len(digits.couplings)]:
        assert np.isnan(line.get_ydata()).tolist() == [False, True, False, False]


def test_panels_of_couplings_show_their_own_noise_and_samples(tmp_path, figures):
    """Two modes; a quarter of the samples lies outside, and one pair of paths of three crosses."""
    x = np.array([[0, -0.5], [0, 0.5], [0, 0.52]])
    z = np.array([[0.1, -1], [0.2, 2], [0.3, 1]])
    noise, made = (
        np.array([[1, 1], [2, 2], [-1, -1], [3, 0.0]]),
        np.array([[0, 0.5], [0, 0.5], [0, -0.5], [2, 2.0]]),
    )
    couplings_figure(tmp_path / "x.png", [CouplingPanel("ot", x, z, noise, made)], MODES, PATHS)
    pairs, above, below = figures[0].axes
    assert pairs.get_title() == "33 % of the pairs of paths cross"
    assert below.get_title() == "25.0 % outside the circles"
    for axes, points in ((above, noise), (below, made)):
        shown = [part.get_offsets() for part in axes.collections]
        order = ([2], [0, 1], [3])  # of the lower mode, the upper, and of none
        assert [part.tolist() for part in shown] == [points[index].tolist() for index in order]
    (lines,) = pairs.collections
    drawn = np.array([path.vertices for path in lines.get_paths()])
    assert drawn[:, :, 1] == pytest.approx(PATHS.scaled(x[:, 1], z[:, 1]))


def test_curves_need_neither_kl_nor_trajectory(project, li, tmp_path, scored_again):
    for coupling in li.couplings:
        path = project / f"results/digits_li/{coupling}/seed0/trajectory.csv"
        path.write_text("step,fid_classifier\n")
        scored_again(path.parent)
    curves_figure(tmp_path / "one.png", read_histories(li), li)
    assert_good(tmp_path / "one.png", (382, 406))


def test_curves_survive_values_that_are_not_finite(project, digits, tmp_path):
    histories = read_histories(digits)
    broken = histories.training.assign(consistency_loss=np.nan)
    path = tmp_path / "curves.png"
    curves_figure(path, replace(histories, training=broken, metric="w2"), digits, float("nan"))
    assert_good(path)


@pytest.mark.parametrize("name", ["training.csv", "trajectory.csv", "samples.npz", "config.json"])
def test_a_missing_or_changed_file_of_a_run_is_named(project, digits, name):
    path = project / "results/digits_small/ot/seed1" / name
    path.write_text(path.read_text() + "\n")
    with pytest.raises(UserError, match=rf"seed1/{name} is not the file"):
        read_histories(digits)
    path.unlink()
    with pytest.raises(UserError, match=rf"seed1/{name} is missing"):
        read_histories(digits)


def test_runs_that_follow_other_metrics_are_not_drawn_together(project, digits, scored_again):
    path = project / "results/digits_small/ot/seed1/trajectory.csv"
    path.write_text("step,w2\n20,1.0\n")
    scored_again(path.parent)
    with pytest.raises(UserError, match=r"different metrics \(fid_classifier, w2\)"):
        read_histories(digits)


def test_same_input_same_bytes(project, digits, tmp_path):
    histories = read_histories(digits)
    for name in ("a", "b"):
        folder = tmp_path / name
        couplings_figure(folder / "couplings.png", panels(["ot"], 40), MODES, PATHS)
        curves_figure(folder / "curves.png", histories, digits, 2.1)
        sample_grids(folder / "samples.png", [GridPanel("ot", "1 step", images(9))])
        preview(folder / "preview.png", {"1 step": panels()[0].samples})
    for first in sorted((tmp_path / "a").iterdir()):
        assert first.read_bytes() == (tmp_path / "b" / first.name).read_bytes()


def test_a_coupling_keeps_its_colour():
    some = style.coupling_colours(["ot", "mine.Own"])
    every = style.coupling_colours(["independent", "ot", "variational", "mine.Own", "other.Own"])
    assert some["ot"] == every["ot"]
    assert len(set(every.values())) == 5


def test_a_figure_does_not_change_the_users_style(tmp_path):
    import matplotlib

    before = {
        key: matplotlib.rcParams[key] for key in ("font.size", "axes.spines.top", "text.color")
    }
    preview(tmp_path / "preview.png", {"1 step": images(4)})
    assert {key: matplotlib.rcParams[key] for key in before} == before


def test_a_coupling_keeps_its_colour_in_all_experiments_of_a_suite(project, digits, figures):
    """Own couplings too: they share the spare colours out by the suite, not by the figure."""
    names = {"ot": "mine"}
    histories = read_histories(replace(digits, couplings=names))
    own = {
        part: getattr(histories, part).replace({"coupling": {"ot": "b"}})
        for part in ("training", "trajectory")
    }
    rows = replace(digits, couplings={"b": "mine"})
    for suite in (("a", "b"), ()):
        curves_figure(project / "x.png", replace(histories, **own), rows, None, suite)
    shared, alone = (figure.axes[0].lines[0].get_color() for figure in figures)
    colours = style.coupling_colours(["a", "b"])
    assert shared == colours["b"] and alone == colours["a"] != shared
