"""`vct schema`: write the JSON schema of params.yaml."""

from vct.lab.files.whole import write_text
from vct.lab.settings.schema import SCHEMA, text


def schema() -> None:
    """Write `params.schema.json`, which editors find by the first line of params.yaml."""
    write_text(SCHEMA, text())
    print(f"{SCHEMA} is written")
