"""`vct train RUN`: train one coupling variant from one seed, or go on where it stopped."""

from vct.lab.data import dataset
from vct.lab.files.layout import RunId
from vct.lab.processes.group import current_group
from vct.lab.settings.params import Params
from vct.lab.settings.run import run_settings
from vct.lab.tracking.watch import following
from vct.lab.training import outputs, session
from vct.lab.training.checkpoint import Identity
from vct.lab.training.log import say
from vct.lab.training.signals import Interrupted
from vct.lab.training.trainer import Trainer


def train(params: Params, name: str, fresh: bool = False) -> int | None:
    """Train a run; on SIGTERM or Ctrl-C say where it goes on, and return 128 + signal."""
    try:
        run(params, name, fresh)
    except Interrupted as stop:
        say(f"vct: {name} {stop}; the same command goes on there.")
        return 128 + stop.number
    return None


def run(params: Params, name: str, fresh: bool = False) -> None:
    """Write the outputs of `results/<run>/` that training makes.

    Of several processes, the main one alone holds the lock, writes, and sends metrics.
    """
    run_id, group, runtime = RunId.parse(name), current_group(), params.runtime
    settings = run_settings(params, run_id)
    data = dataset.load(settings.train.dataset)
    session.check_batch(settings, len(data.train.x), group)
    with session.owned(run_id, group, fresh):
        record = session.described(run_id, settings, data.sha256, group, runtime.micro_batch)
        identity = Identity.of(record)
        trainer = Trainer(settings, run_id.seed, data, runtime, run_id.state, identity)
        if group.any(group.main and outputs.restored(run_id, record)):
            say(f"{run_id} was trained to its end; its files are put back (--fresh trains again)")
            return
        if (step := trainer.resume()) and group.main:
            say(f"{run_id}: goes on after step {step}")
        if not group.main:
            trainer.run()
            return
        outputs.begin(run_id, record)
        with following(run_id, enabled=runtime.tracking, stops=Interrupted):
            outputs.store(run_id, record, trainer.run(), data)
        outputs.end(run_id)
