"""`vct dvc SUITE`: write the DVC stages of a suite."""

from vct.lab.files.whole import write_text
from vct.lab.settings.params import Params
from vct.lab.workflow.dvc import dvc_file, text


def dvc(params: Params, name: str) -> None:
    """Write `dvc.yaml`, or of another suite than the default one `dvc/<suite>/dvc.yaml`."""
    path = dvc_file(name)
    write_text(path, text(params, name))
    print(
        f"{path} is written; run it with: dvc repro {path}\n"
        f"If Snakemake has made its results already, let DVC know before: vct record {name}"
    )
