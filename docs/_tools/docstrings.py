"""Docstrings are plain text with `code`: what reStructuredText would see in |x| or x_ is text."""

import re


def escape(app, what, name, obj, options, lines):
    parts = re.split(r"(`[^`]+`)", "\n".join(lines))
    parts[::2] = [re.sub(r"([*_|\\])", r"\\\1", text) for text in parts[::2]]
    lines[:] = "".join(parts).split("\n")


def setup(app):
    app.connect("autodoc-process-docstring", escape, priority=400)  # before napoleon's
    return {"parallel_read_safe": True, "parallel_write_safe": True}
