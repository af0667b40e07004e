"""Cost of a training step of each coupling of some experiments, relative to independent noise."""

import sys
import tempfile
import time
from pathlib import Path

from vct.lab.build import instantiate
from vct.lab.data import dataset
from vct.lab.files.layout import RunId
from vct.lab.settings import reading
from vct.lab.settings.params import Params
from vct.lab.settings.run import run_settings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer

ROUNDS, STEPS = 5, 48  # rounds of whole pools of 16


def main(*experiments: str) -> None:
    """Print a table; couplings take turns, so that a busy machine disturbs all alike.

    The cost is the least CPU time of ROUNDS rounds over that of the first independent row of the
    same data set.
    """
    params = reading.load()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        found = {name: trainers(params, name, root) for name in experiments or ("mixture",)}
        costs = {name: dict.fromkeys(each, float("inf")) for name, each in found.items()}
        for start in range(0, ROUNDS * STEPS, STEPS):
            for name, each in found.items():
                for coupling, trainer in each.items():
                    seconds = steps(trainer, start)
                    costs[name][coupling] = min(costs[name][coupling], seconds)
    base: dict[str, float] = {}
    for name, each in costs.items():
        if "independent" in each:
            base.setdefault(params.experiment(name).train.dataset, each["independent"])
    print("| experiment | coupling | samples of a step | cost |\n| --- | --- | ---: | ---: |")
    for name, each in costs.items():
        train = params.experiment(name).train
        unit = base.get(train.dataset, min(each.values()))
        for coupling, seconds in each.items():
            print(f"| {name} | {coupling} | {train.batch_size} | {seconds / unit:.2f} |")


def trainers(params: Params, experiment: str, root: Path) -> dict[str, Trainer]:
    """One for each coupling of an experiment."""
    settings, found = params.experiment(experiment), {}
    name = settings.train.dataset
    source = params.datasets[name]
    dataset.write(name, instantiate(source), source.model_dump(mode="json"), root)
    data = dataset.load(name, root)
    for coupling in settings.variants:
        run = run_settings(params, RunId(experiment, coupling, 0))
        identity = Identity({}, data.sha256, 0)
        found[coupling] = Trainer(run, 0, data, params.runtime, root, identity)
    return found


def steps(trainer: Trainer, start: int) -> float:
    """Seconds of CPU of a round of steps."""
    begin = time.process_time()
    for step in range(start, start + STEPS):
        trainer._step(step)
    return time.process_time() - begin


if __name__ == "__main__":
    main(*sys.argv[1:])
