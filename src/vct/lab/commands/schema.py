"""`vct schema`: write the JSON schema of params.yaml."""

from vct.lab.files.whole import write_json
from vct.lab.settings.schema import SCHEMA
from vct.lab.settings.schema import schema as of_settings


def schema() -> None:
    """Write `params.schema.json`, which editors find by the first line of params.yaml."""
    write_json(SCHEMA, of_settings())
    print(f"{SCHEMA} is written")
