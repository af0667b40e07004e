"""A JSON schema of params.yaml, for editors: it completes keys and marks wrong ones.

It says what a section may hold; what sections ask of each other (`vct check`) it does not say.
"""

from pathlib import Path
from typing import Any

from vct.lab.settings.params import Params

SCHEMA = Path("params.schema.json")


def schema() -> dict[str, Any]:
    """The schema of the settings classes, with the short forms that `reading` and they take.

    A coupling's kind is its name unless it has another; an image folder is called like its data
    set; a kernel may be one word.
    """
    whole = Params.model_json_schema()
    definitions = whole["$defs"]
    definitions["ImageFolderSettings"]["required"].remove("raw")
    kernel = definitions["TrainSettings"]["properties"]["kernel"]
    kernel["oneOf"] += [each["properties"]["kind"] for each in _members(kernel, definitions)]
    couplings = definitions["ExperimentSettings"]["properties"]["couplings"]
    definitions["Coupling"] = couplings["additionalProperties"]
    couplings["additionalProperties"] = {"$ref": "#/$defs/Coupling"}
    couplings["properties"] = {
        section["properties"]["kind"]["const"]: {
            "if": {"required": ["kind"]},
            "then": {"$ref": "#/$defs/Coupling"},
            "else": {**section, "required": [key for key in section["required"] if key != "kind"]},
        }
        for section in _members(definitions["Coupling"], definitions)
        if "const" in section["properties"]["kind"]
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}


def _members(union: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """The sections among which a field chooses."""
    return [definitions[choice["$ref"].rpartition("/")[2]] for choice in union["oneOf"]]
