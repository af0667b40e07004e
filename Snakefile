"""Everything from data to report: snakemake --cores all [--config suite=NAME]"""

import sys

from snakemake.exceptions import WorkflowError

from vct.lab import versions
from vct.lab.errors import UserError
from vct.lab.files import layout
from vct.lab.settings.reading import load
from vct.lab.workflow import graph, stale_lock

# Read by our rules first: Snakemake's reader would expand, or even run, what stands there.
try:
    load()
except UserError as error:
    raise WorkflowError(str(error)) from None
stale_lock.clear()


configfile: "params.yaml"


try:
    SUITE, PARAMS = graph.from_snakemake(config)
    EXPERIMENTS = PARAMS.suite(SUITE)
    graph.check_targets(PARAMS, sys.argv[1:])
except UserError as error:
    raise WorkflowError(str(error)) from None
RUNS = graph.to_make(PARAMS, SUITE)


wildcard_constraints:
    checkpoint=layout.PRETRAINED.pattern,
    dataset=layout.NAME.pattern,
    extractor=layout.NAME.pattern,
    experiment=layout.NAME.pattern,
    coupling=layout.NAME.pattern,
    seed=r"0|[1-9]\d*",
    suite=layout.NAME.pattern,
    what="moments|features",


report: "workflow/report/workflow.rst"


# A cluster signals all processes of a job before its time limit. With `exec`, no shell is left that
# would end at once, and the job with it; `tee` stays: a training has the time to save its state.
include: "workflow/rules/data.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/suite.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        # Weights are asked for by name: committed tables alone would look finished.
        expand("results/{run}/model.safetensors", run=RUNS),
        graph.suite_files(PARAMS, SUITE),


onsuccess:
    # DVC may be told that all is up to date only when all was asked for, and made.
    if graph.is_whole(workflow.dag_settings):
        shell("vct record {SUITE}")
