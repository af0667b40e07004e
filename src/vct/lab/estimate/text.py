"""The estimate in words, and as a table of Markdown."""

from collections.abc import Iterable

from vct.lab.estimate.costs import PEAKS, UTILISATION, Device
from vct.lab.estimate.rows import Row

GIB = 2**30
HEAD = (
    "experiment",
    "coupling",
    "parameters of F",
    "of the encoder",
    "GFLOP of a step per image",
    "micro-batch",
    "memory of a device, GiB",
    "of it activations",
    "disk, GiB",
    "device-hours",
)


def text(suite: str, rows: list[Row], device: Device) -> str:
    """Formula, table, totals, and what is not known."""
    parts = [formula(suite, device), table(rows), totals(rows)]
    unknown = [f"{row.experiment}/{row.coupling}: {row.unknown}." for row in rows if row.unknown]
    if unknown:
        parts.append("Unknown, and in no total:\n" + "\n".join(unknown))
    return "\n\n".join(parts)


def formula(suite: str, device: Device) -> str:
    """How the numbers come about, and what was assumed."""
    if device.tflops is None:
        peaks = ", ".join(f"{peak:g} in {precision}" for precision, peak in PEAKS.items())
        peak = f"{peaks} (an A100's data sheet, --tflops)"
    else:
        peak = f"{device.tflops:g}, as given"
    assumed = "an assumption, --utilisation" if device.utilisation == UTILISATION else "as given"
    return f"""\
ESTIMATE of what suite {suite} costs. All is counted from params.yaml; nothing was run or timed.

device-hours = seeds x (training + sampling) / (peak x utilisation x 3600 s)
  training    = steps x batch_size x FLOP of a step per image: forward and backward pass of the
                student, forward pass of the teacher (edm and flow have none), forward and backward
                pass of an encoder, and what generator-augmented couplings ask the averaged model
  sampling    = num_samples x times of the sampler, and snapshots x snapshot_samples
  peak        = TFLOP/s: {peak}
  utilisation = {device.utilisation:g} ({assumed})
FLOP are those of matrix products, convolutions and attention, two for each multiply-add. Other
operations, the optimizer, plans of transport, data, scoring and messages between devices are left
to the utilisation; networks too small to fill a device reach a lower one.

memory of a device = weights + gradients + optimizer + averages + activations of a micro-batch
  weights, gradients, the optimizer's two numbers a parameter and each average are float32
  activations = what the backward pass keeps, each storage once, under autocast if precision is
                bfloat16 (by the rules of CPUs: GPUs keep float32 at normalisations, so more).
Short-lived tensors, workspaces of libraries and the context of the device come on top.

disk = final weights + snapshots + averages + samples of all seeds; data sets are not in it."""


def table(rows: Iterable[Row]) -> str:
    """The rows as Markdown."""
    rule = ["---", "---", *["---:"] * (len(HEAD) - 2)]
    return "\n".join(map(_line, [HEAD, rule, *map(_cells, rows)]))


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(row: Row) -> list[str]:
    names = [row.experiment, row.coupling]
    if row.cost is None:
        return names + ["unknown"] * (len(HEAD) - len(names))
    cost, counts = row.cost, row.cost.counts
    return [
        *names,
        f"{counts.network:,}",
        f"{counts.coupling:,}" if counts.coupling else "–",
        rounded(counts.step / 1e9),
        str(cost.micro_batch),
        rounded(cost.memory.total / GIB),
        rounded(cost.memory.activations / GIB),
        rounded(row.seeds * cost.disk.results / GIB),
        rounded(row.seeds * cost.hours),
    ]


def totals(rows: list[Row]) -> str:
    """Sums over the suite."""
    known = [(row.seeds, row.cost) for row in rows if row.cost]
    if not known:
        return "Total: unknown."
    runs = sum(seeds for seeds, _ in known)
    hours = rounded(sum(seeds * cost.hours for seeds, cost in known))
    results = rounded(sum(seeds * cost.disk.results for seeds, cost in known) / GIB)
    largest = rounded(max(cost.disk.checkpoints for _, cost in known) / GIB)
    return (
        f"Total (ESTIMATE): {runs} runs, {hours} device-hours, {results} GiB of results. While a "
        f"run trains, its two newest checkpoints take up to {largest} GiB more."
    )


def rounded(number: float) -> str:
    """Three digits; what is nearly nothing is called so."""
    if number < 0.001:
        return "< 0.001"
    digits = f"{number:.3g}"
    return f"{float(digits):,.0f}" if number >= 100 else digits
