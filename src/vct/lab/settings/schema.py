"""A JSON schema of params.yaml, for editors: it completes keys and marks wrong ones.

It says what a section may hold; what sections ask of each other (`vct check`) it does not say.
"""

import json
from pathlib import Path
from typing import Any

from vct.lab.settings.params import Params

SCHEMA = Path("params.schema.json")


def text() -> str:
    """params.schema.json."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """The schema of the settings classes; what `reading` fills in is not required.

    A coupling's kind is its name unless it has another; an image folder is called like its data
    set.
    """
    whole = Params.model_json_schema()
    definitions = whole["$defs"]
    definitions["ImageFolderSettings"]["required"].remove("raw")
    couplings = definitions["ExperimentSettings"]["properties"]["couplings"]
    definitions["Coupling"] = couplings["additionalProperties"]
    couplings["additionalProperties"] = {"$ref": "#/$defs/Coupling"}
    couplings["properties"] = {}
    for choice in definitions["Coupling"]["oneOf"]:
        section = definitions[choice["$ref"].rpartition("/")[2]]
        if name := section["properties"]["kind"].get("const"):
            couplings["properties"][name] = {
                "if": {"required": ["kind"]},
                "then": {"$ref": "#/$defs/Coupling"},
                "else": _without_kind(section),
            }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}


def _without_kind(section: dict[str, Any]) -> dict[str, Any]:
    required = [key for key in section["required"] if key != "kind"]
    return {**section, "required": required}
