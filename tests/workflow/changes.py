"""`python changes.py` in a project: for each params.yaml of the list on stdin, with the versions of
code that it changes, what Snakemake compares of the settings of each command."""

import contextlib
import io
import json
import re
import sys
from pathlib import Path
from unittest import mock

from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness
from snakemake.settings.types import OutputSettings, ResourceSettings

from vct.lab import versions


def compared() -> dict[str, list[str]]:
    """By command; Snakemake runs one again if this differs from what it recorded."""
    quiet = OutputSettings(quiet={Quietness.ALL})
    with contextlib.redirect_stdout(io.StringIO()), SnakemakeApi(quiet) as api:
        one_core = ResourceSettings(cores=1)
        asked = api.workflow(resource_settings=one_core, snakefile=Path("Snakefile"))
        asked.dag().summary()
        workflow = asked._workflow
        jobs = [job for job in workflow.dag.jobs if job.shellcmd]
        return {command(job.shellcmd): workflow.persistence._params(job) for job in jobs}


def command(shell: str) -> str:
    """`train digits/ot/seed0`."""
    match = re.search(r"exec vct (.*?) +>", shell)
    assert match, shell
    return match[1]


if __name__ == "__main__":
    found = []
    for text, raised in json.load(sys.stdin):
        Path("params.yaml").write_text(text)
        with mock.patch.dict(vars(versions), raised):
            found.append(compared())
    print(json.dumps(found))
