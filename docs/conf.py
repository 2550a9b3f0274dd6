"""The site that `make site` builds of README.md and docs/, and of the docstrings."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

project = "Deephaven trading platform"
author = "The platform's authors"
copyright = author

# The site's source is the whole checkout, so that a link means the same on the site as it does beside the code.
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "docs/**"]
exclude_patterns = [".*", "benchmarks", "build", "dist", "site", "tests", "tools", "**/__pycache__"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 4

# A name in single backquotes is code, in docstrings as in Markdown.
default_role = "code"
# A name of ours that is nowhere explained fails the build; those of other projects are on sites of their own.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!(store|reactive|workflow|bridge|server|client)\.).*"),
    (r"py:class", r".*\.[A-Z]"),
]
nitpick_ignore = [
    ("py:class", "reactive.bridge.Client"),
    ("py:class", "reactive.bridge.Graph"),
    ("py:class", "reactive.expr.kinds.Declared"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {
    name: name for name in ("ArrayLike", "Callback", "Connection", "ErrorCallback", "Filters", "Floats", "Guard")
}
autodoc_preserve_defaults = True
napoleon_use_rtype = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = project
html_extra_path = ["site"]
html_show_sourcelink = False
html_show_copyright = False
pygments_style = "friendly"
highlight_language = "none"
