"""`vct sample RUN --out FOLDER`: samples of a trained model for looking at."""

from vct.lab.errors import UserError
from vct.lab.reuse import load
from vct.lab.reuse import pictures as files
from vct.lab.runs.samples import STANDARD


def pictures(
    name: str,
    out: str,
    num: int = 64,
    grid: bool = False,
    steps: int | None = None,
    labels: str | None = None,
    seed: int = 0,
    prior: str = STANDARD,
    device: str = "cpu",
) -> None:
    """Draw `num` samples of the model called `name`, a run or a folder, into the new folder `out`;
    the files of the run stay as they are."""
    if num < 1:
        raise UserError(f"--num: {num} samples; ask for 1 or more.")
    model = load(name, device)
    x = model.sample(num, steps=steps, labels=labels, seed=seed, prior=prior)
    files.write(model, x, out, grid)
    print(f"{num} samples of {name} are in {out}")
