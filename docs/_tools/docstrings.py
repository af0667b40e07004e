"""Docstrings are plain text with `code`: what reStructuredText would see in |x| or x_ is text."""

import re

ATTRIBUTES = {}


def escape(app, what, name, obj, options, lines):
    parts = re.split(r"(`[^`]+`)", "\n".join(lines))
    parts[::2] = [re.sub(r"([*_|\\])", r"\\\1", text) for text in parts[::2]]
    lines[:] = "".join(parts).split("\n")
    if what in ("attribute", "data", "property"):
        ATTRIBUTES[name] = list(lines)


def restore(app, what, name, obj, options, lines):
    """Napoleon takes what stands before a colon in the docstring of an attribute for its type."""
    lines[:] = ATTRIBUTES.pop(name, lines)


def setup(app):
    app.connect("autodoc-process-docstring", escape, priority=400)  # napoleon's has 500
    app.connect("autodoc-process-docstring", restore, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
