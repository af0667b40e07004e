"""`vct record SUITE`: write into dvc.lock what Snakemake made; print the table, and where it is."""

from vct.lab.files.layout import REPORT_FILE, suite_dir
from vct.lab.files.whole import read_text
from vct.lab.settings.params import Params
from vct.lab.workflow import handshake
from vct.lab.workflow.graph import DEFAULT_SUITE


def record(params: Params, name: str) -> None:
    """Runs after each successful Snakemake run, and must never fail it.

    Raises:
        UserError: if there is no such suite.
    """
    params.suite(name)
    handshake.record(params, name)
    table = suite_dir(name) / "table.md"
    if table.is_file():
        print(read_text(table))
    places = {"The report": suite_dir(name) / REPORT_FILE, "The table": table}
    for what, path in places.items():
        if path.is_file():
            print(f"{what + ':':<12} {path}")
    suite, word = ("", "") if name == DEFAULT_SUITE else (f" SUITE={name}", f" {name}")
    print(f"{'Every run:':<12} make ui{suite}, or vct track ui{word}, in the browser")
