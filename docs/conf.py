"""Sphinx settings: pages in Markdown, docstrings of the theory, settings from their classes.

Nothing is fetched, neither to build the pages nor to read them.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE)]

import vct  # noqa: E402

project = "vct"
author = "The vct developers"
version = release = vct.__version__
html_title = f"vct {release}"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "_tools.mathml",
    "_tools.docstrings",
    "_tools.public_names",
    "_tools.settings_reference",
]
exclude_patterns = ["_build", "_tools"]

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints = "none"  # docstrings say shapes and ranges, which types do not
napoleon_use_param = napoleon_use_ivar = False
default_role = "py:obj"
toc_object_entries = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["vct.css"]
html_theme_options = {"navigation_with_keys": True}
html_show_copyright = html_show_sphinx = html_copy_source = html_show_sourcelink = False
