"""Cost of a training step of each coupling of an experiment, relative to the independent one."""

import sys
import tempfile
import time
from pathlib import Path

from vct.lab.build import instantiate
from vct.lab.data import dataset
from vct.lab.files.layout import RunId
from vct.lab.settings import reading
from vct.lab.settings.run import run_settings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer

ROUNDS, STEPS = 5, 48  # rounds of whole pools of 16


def main(experiment: str = "mixture") -> None:
    """Print a table; couplings take turns, so that a busy machine disturbs all alike."""
    params = reading.load()
    settings = params.experiment(experiment)
    name = settings.train.dataset
    source = params.datasets[name]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dataset.write(name, instantiate(source), source.model_dump(mode="json"), root)
        data = dataset.load(name, root)
        trainers = {}
        for coupling in settings.variants:
            run = run_settings(params, RunId(experiment, coupling, 0))
            identity = Identity({}, data.sha256, 0)
            trainers[coupling] = Trainer(run, 0, data, params.runtime, root, identity)
        times = {coupling: min(rounds(trainer)) for coupling, trainer in trainers.items()}
    base = times.get("independent", min(times.values()))
    print(f"{experiment}: step of {settings.train.batch_size} samples")
    for coupling, seconds in times.items():
        print(f"{coupling:20} {seconds / base:6.2f}")


def rounds(trainer: Trainer) -> list[float]:
    """Seconds of CPU of each round of steps."""
    found = []
    for start in range(ROUNDS):
        begin = time.process_time()
        for step in range(start * STEPS, (start + 1) * STEPS):
            trainer._step(step)
        found.append(time.process_time() - begin)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
