"""The reference of params.yaml, written from the settings classes whenever the pages are built.

A line `<!-- settings -->` in a page is replaced by it. It reads the same schema that editors use.
"""

import re

from vct.lab.settings.base import DOTTED
from vct.lab.settings.schema import schema

PAGE, MARK = "settings", "<!-- settings -->"
WORDS = ("kind", "source", "metric")
"""Keys that name a member of a family."""


class Reference:
    """Sections in the order in which params.yaml holds them; each class is described once."""

    def __init__(self, whole):
        self.definitions, self.top = whole["$defs"], whole["properties"]
        self.known = {}
        self.lines = []

    def markdown(self):
        for key, node in self.top.items():
            self.lines += [f"## `{key}`", ""]
            found = self.references(node)
            if not found:
                self.lines += [f"{self.kind(node)}.", ""]
            for name in found:
                self.section(name, key, 3 if len(found) > 1 or self.choice(name) else 2)
        return "\n".join(self.lines)

    def references(self, node):
        """Names of the classes that a setting may hold, in order."""
        if isinstance(node, list):
            return [name for part in node for name in self.references(part)]
        if not isinstance(node, dict):
            return []
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            found = self.references(self.definitions[name]) if name == "Coupling" else [name]
        else:
            parts = [value for key, value in node.items() if key not in ("discriminator", "else")]
            found = self.references(parts)
        return list(dict.fromkeys(found))

    def choice(self, name):
        """How params.yaml chooses a class among others: `kind: ict`; None for the only one."""
        properties = self.definitions[name]["properties"]
        key = next((key for key in WORDS if key in properties), None)
        if key is None:
            return None
        node = properties[key]
        if values := node.get("enum", [node["const"]] if "const" in node else []):
            return " or ".join(f"`{key}: {value}`" for value in values)
        return f"`{key}:` a class of your own"

    def section(self, name, path, level):
        if name in self.known:
            return
        choice = self.choice(name)
        inside = None if choice and path in self.top else f"`{path}`"
        self.known[name] = title = ", ".join(filter(None, (inside, choice)))
        definition = self.definitions[name]
        if level > 2 or path not in ("experiments", "runtime"):
            self.lines += [f"({anchor(name)})=", "#" * level + f" {title}", ""]
        else:
            self.lines.insert(-2, f"({anchor(name)})=")
        self.lines += [escaped(definition.get("description", "")), ""]
        self.table(definition)
        for key, node in definition["properties"].items():
            for other in self.references(node):
                self.section(other, key, min(level + 1, 4))

    def table(self, definition):
        required = definition.get("required", [])
        rows = [
            f"| `{key}` | {self.kind(node)} | {default(key, node, required)} |"
            for key, node in definition["properties"].items()
            if not (key in WORDS and ("const" in node or "enum" in node))
        ]
        if rows:
            self.lines += ["| key | takes | default |", "| --- | --- | --- |", *rows, ""]

    def kind(self, node):
        """What a setting takes, in words."""
        if found := self.references(node):
            links = " or ".join(f"[{self.short(name)}](#{anchor(name)})" for name in found)
            named = "additionalProperties" in node or "properties" in node
            end = ", or null" if {"type": "null"} in node.get("anyOf", []) else ""
            return f"by name: {links}" if named else links + end
        for key in ("anyOf", "oneOf"):
            if key in node:
                return ", or ".join(self.kind(part) for part in node[key])
        if "const" in node:
            return f"`{node['const']}`"
        if "enum" in node:
            return " or ".join(f"`{value}`" for value in node["enum"])
        if "prefixItems" in node:
            return "list: " + ", ".join(self.kind(part) for part in node["prefixItems"])
        words = {"string": "text", "boolean": "`true` or `false`", "object": "keys and values"}
        if node.get("pattern") == DOTTED:
            return "a dotted path, such as `module.Class`"
        given = node.get("type")
        if given == "array":
            return f"list{bounds(node, 'Items')} of: {self.kind(node['items'])}"
        if given == "object" and "additionalProperties" in node:
            of = node["additionalProperties"]
            return f"by name: {self.kind(of)}" if isinstance(of, dict) else words["object"]
        end = bounds(node)
        end += f", multiple of {node['multipleOf']}" if "multipleOf" in node else ""
        return words.get(given, given or "anything") + end

    def short(self, name):
        return (self.choice(name) or name.removesuffix("Settings").lower()).replace("`", "")


def bounds(node, of="imum"):
    """The range of a number, or of the length of a list."""
    signs = {
        f"min{of}": "≥",
        "exclusiveMinimum": ">",
        f"max{of}": "≤",
        "exclusiveMaximum": "<",
    }
    return ",".join(f" {sign} {number(node[key])}" for key, sign in signs.items() if key in node)


def number(value):
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        value = int(value)
    return f"{value:,}" if isinstance(value, int) and value < 10**10 else f"{value:g}"


def default(key, node, required):
    if key in required:
        return "**required**"
    if "default" not in node:
        return "see above"
    value = node["default"]
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "its defaults" if isinstance(value, dict) and value else f"`{value}`"


def anchor(name):
    return f"settings-{name.lower()}"


def escaped(text):
    """Markdown without tags: <raw> is text."""
    parts = re.split(r"(`[^`]+`)", text)
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "".join(parts)


def fill(app, docname, source):
    if docname == PAGE:
        source[0] = source[0].replace(MARK, Reference(schema()).markdown())


def setup(app):
    app.connect("source-read", fill)
    app.connect("env-get-outdated", lambda *_: [PAGE])  # classes change without the page
    return {"parallel_read_safe": True, "parallel_write_safe": True}
