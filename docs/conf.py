"""The documentation site: `make docs` builds it into build/docs, and what Sphinx warns of fails the build."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from parts import inventories

import crossent

project = "crossent"
author = "The crossent developers"
copyright = "the crossent developers"
version = release = crossent.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_parser",
    "sphinx_copybutton",
    "parts",
]
exclude_patterns = ["generated/*.md", "playground"]
nitpicky = False
default_role = "py:obj"
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_custom_sections = ["Shapes"]
napoleon_use_rtype = False
intersphinx_mapping = inventories.packed()  # from files beside this one: the build asks no network
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "crossent"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_search_summary = False  # would be fetched, which a page opened from a file may not
html_last_updated_fmt = None
math_numfig = False
suppress_warnings = ["intersphinx.external"]
