"""`vct prepare RUN`: make what its coupling needs before training, such as potentials."""

from vct.lab.data import dataset
from vct.lab.files.layout import PREPARED_FILE, RunId
from vct.lab.processes.group import current_group
from vct.lab.processes.streams import say
from vct.lab.settings.params import Params
from vct.lab.settings.run import run_settings
from vct.lab.training import preparation, session


def prepare(params: Params, name: str) -> None:
    """Write `prepared.safetensors` of a run."""
    run, group = RunId.parse(name), current_group()
    settings = run_settings(params, run)
    data = dataset.described(params, settings.train.dataset)
    with session.owned(run, group, fresh=False):
        prepares = preparation.write(run, settings, data, params.runtime)
    if group.main and not prepares:
        say(f"{run}: the coupling prepares nothing; {PREPARED_FILE} is empty.")
