"""`vct export RUN FOLDER`: a trained model as a folder to pass on."""

from vct.lab.files.layout import RunId
from vct.lab.reuse import export as exports
from vct.lab.settings.params import Params


def export(params: Params, name: str, folder: str, license: str | None = None) -> None:
    """Write the weights of a run, what builds them, and a model card, into `folder`."""
    run = RunId.parse(name)
    exports.write(run.directory, folder, license)
    print(f'{name} is in {folder}; vct.load("{folder}") loads it, README.md is its model card')
