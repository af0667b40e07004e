"""Pictures of a report: their bytes inside the page, and what is to be seen for who cannot see."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vct.lab.report import names, style
from vct.lab.report.collect import Collected, ExperimentRows
from vct.lab.report.summary import spreads


@dataclass(frozen=True)
class Picture:
    """A PNG as a page holds it.

    Args:
        uri: all its bytes.
        width, height: of its layout, in pixels; the file may be sharper.
        alt: what is to be seen.
        caption: how to read it.
    """

    uri: str
    width: int
    height: int
    alt: str
    caption: str

    @classmethod
    def of(cls, path: Path, alt: str, caption: str) -> "Picture":
        """The picture in a file.

        Raises:
            UserError: if it is damaged.
        """
        width, height = style.size(path)
        content = base64.b64encode(path.read_bytes()).decode("ascii")
        return cls(f"data:image/png;base64,{content}", width, height, alt, caption)


_IMAGES = (
    "Samples of each coupling, unselected: the first that were drawn, of one seed. The same cell "
    "has the same noise in all panels of a row, so that differences come from the training. Images "
    "are those that were scored, enlarged without smoothing; real ones correspond to no cell."
)
_POINTS = (
    "After figure 1 of VCT. Top: paths of training pairs from data (left) to noise (right), "
    "coloured by the mode of the data point; where paths of different modes cross, the model has "
    "to average over them, and independent noise lets about one half cross. Middle: noise, "
    "coloured by the mode to which the trained model maps it. Bottom: the samples; grey ones lie "
    "outside all modes."
)
_CURVES = (
    "Line: mean over seeds; band: lowest to highest. The consistency loss does not rank couplings, "
    "and jumps where the time grid becomes finer (dotted lines). The distance may use fewer "
    "samples than the table, and then lies above it; dashed: held-out real data under the table's "
    "protocol."
)
_DIAGNOSTICS = (
    "Line: mean over seeds; band: mean ± standard deviation. Where several stand, each row of "
    "panels is an experiment."
)
_GAINS = (
    "Scores relative to independent noise at the endpoint, paired by seed, with Student's 95 % "
    "intervals. Above zero, a coupling is better than independent noise."
)


def of_experiment(
    directory: Path, rows: ExperimentRows, form: str | None, collected: Collected
) -> list[Picture]:
    """Samples and curves of an experiment, as far as they were drawn."""
    labels = ", ".join(rows.couplings.values())
    if form == "points":
        seen = (
            f"Scatter plots of {rows.experiment}, one column each for {labels}: paths of training "
            "pairs, noise by the mode it is mapped to, and samples."
        )
    else:
        seen = f"Grids of images of {rows.experiment}: real data, and samples with {labels}."
    end = _endpoints(rows.experiment, collected)
    along = f"Lines along the training of {rows.experiment}, a colour each for {labels}.{end}"
    both = {
        "samples": (seen, _POINTS if form == "points" else _IMAGES),
        "curves": (along, _CURVES),
    }
    files = {name: directory / f"{rows.experiment}-{name}.png" for name in both}
    return [Picture.of(path, *both[name]) for name, path in files.items() if path.exists()]


def _endpoints(experiment: str, collected: Collected) -> str:
    """The final scores, which the curves lead to."""
    protocol = collected.protocols.get(experiment)
    if protocol is None:
        return ""
    key, metric, labels = next(iter(protocol.schedules)), protocol.metrics[0], {}
    for (name, row, kind, samples), spread in spreads(collected.frame).items():
        if (name, kind, samples) == (experiment, metric, key):
            labels[row] = f"{spread.mean:.3g}"
    called = collected.rows(experiment)
    scores = ", ".join(f"{called[row]} {value}" for row, value in labels.items())
    return f" {names.metric(metric, protocol).label} in the end, {names.heading(key)}: {scores}."


def of_explanation(directory: Path, labels: Mapping[str, str]) -> dict[str, Picture]:
    """diagnostics.png and gains.png, as far as they were drawn."""
    couplings = ", ".join(labels.values())
    both = {
        "diagnostics": (
            f"Lines along the level of noise t, a colour each for {couplings}: what x_t leaves "
            "open of its data point, noise of gradients, error of the model, dimension of its "
            "Jacobian, score by mid time.",
            _DIAGNOSTICS,
        ),
        "gains": (
            f"Gain on independent noise in per cent, with intervals, of {couplings}: by dimension "
            "of the data, and by training steps.",
            _GAINS,
        ),
    }
    files = {name: directory / f"{name}.png" for name in both}
    return {name: Picture.of(path, *both[name]) for name, path in files.items() if path.exists()}
