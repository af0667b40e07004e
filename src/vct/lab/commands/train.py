"""`vct train RUN`: train one coupling variant from one seed, or go on where it stopped."""

from collections.abc import Sequence

from vct.lab.data import dataset
from vct.lab.files.layout import RunId
from vct.lab.processes.group import current_group
from vct.lab.processes.streams import say
from vct.lab.settings.changes import changed
from vct.lab.settings.params import Params
from vct.lab.settings.run import run_settings
from vct.lab.tracking.watch import following
from vct.lab.training import outputs, preparation, session
from vct.lab.training.checkpoint import Identity
from vct.lab.training.signals import Interrupted
from vct.lab.training.trainer import Trainer


def train(params: Params, name: str, fresh: bool = False, changes: Sequence[str] = ()) -> int:
    """Train a run; on SIGTERM or Ctrl-C say where it goes on, and return 128 + signal.

    With `changes` to its settings it is a trial, whose files are under scratch/.
    """
    run_id = RunId.parse(name)
    if changes:
        params, run_id = changed(run_id, changes), run_id.trial
    try:
        run(params, run_id, fresh)
    except Interrupted as stop:
        say(f"vct: {name} {stop}; the same command goes on there.")
        return 128 + stop.number
    if changes and current_group().main:
        say(f'{name} is in {run_id.directory}: vct.load("{run_id.directory}") loads it')
    return 0


def run(params: Params, run_id: RunId, fresh: bool = False) -> None:
    """Write the outputs of a training; of several processes the main one alone does, and holds the
    lock."""
    group, runtime = current_group(), params.runtime
    settings = run_settings(params, run_id)
    data = dataset.described(params, settings.train.dataset)
    session.check(settings, params.experiment(run_id.experiment), data, group)
    with session.owned(run_id, group, fresh):
        made = preparation.of_training(run_id, settings, data, runtime)
        record = session.described(run_id, settings, data.sha256, group, runtime.micro_batch, made)
        identity, tensors = Identity.of(record), None if made is None else made.tensors
        trainer = Trainer(settings, run_id.seed, data, runtime, run_id.state, identity, tensors)
        if group.any(group.main and outputs.restored(run_id, record)):
            say(f"{run_id} was trained to its end; its files are put back (--fresh trains again)")
            return
        if (step := trainer.resume()) and group.main:
            say(f"{run_id}: goes on after step {step}")
        if not group.main:
            trainer.run()
            return
        outputs.begin(run_id, record)
        with following(run_id, runtime.tracking, runtime.system_metrics, stops=Interrupted):
            outputs.store(run_id, record, trainer.run(), data)
        outputs.end(run_id)
