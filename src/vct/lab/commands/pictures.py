"""`vct sample RUN --out FOLDER`: samples of a trained model for looking at."""

from vct.lab.errors import UserError
from vct.lab.reuse import inputs as images
from vct.lab.reuse import load
from vct.lab.reuse import pictures as files
from vct.lab.runs.samples import STANDARD

MANY = 64
"""Samples, unless another number is asked for."""


def pictures(
    name: str,
    out: str,
    num: int | None = None,
    grid: bool = False,
    steps: int | None = None,
    labels: str | None = None,
    seed: int = 0,
    prior: str = STANDARD,
    inputs: str | None = None,
    device: str = "cpu",
) -> None:
    """Draw `num` samples of the model called `name`, a run or a folder, into the new folder `out`;
    the files of the run stay as they are. Of `inputs`, each image of that folder is restored once,
    or all in turn until there are `num`."""
    if num is not None and num < 1:
        raise UserError(f"--num: {num} samples; ask for 1 or more.")
    model = load(name, device)
    if model.restores and inputs is None:
        raise UserError(f"{name} restores images; name a folder of them with --inputs.")
    if inputs is not None and not model.restores:
        raise UserError(f"{name} makes images of noise alone; leave --inputs out.")
    ground = model.description.record.data.source.get("background")
    known = None if inputs is None else images.read(inputs, model.shape[0], ground)
    num = num or (MANY if known is None else len(known))
    x = model.sample(num, steps=steps, labels=labels, seed=seed, prior=prior, inputs=known)
    files.write(model, x, out, grid)
    print(f"{num} samples of {name} are in {out}")
