"""Settings of the documentation site: ``sphinx-build -W --keep-going docs build/html``.

The pages are Markdown files that can also be read on GitHub. The site adds the tutorial, which is run while it is
built, and the reference, which is made from docstrings. Its pages load nothing from other hosts.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the tutorial's numbers are the same on machines with a GPU

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]  # for site_extension, and for theano_rnn

import theano_rnn  # noqa: E402

project = "theano_rnn"
author = "the theano_rnn developers"
project_copyright = author
version = release = theano_rnn.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "site_extension",
]
exclude_patterns = ["tutorial/README*", "_templates"]
templates_path = ["_templates"]

# Markdown
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4  # a heading's anchor is the one that GitHub gives it

smartquotes_action = "qe"  # quotation marks and dots, but --flags keep their hyphens

# docstrings
default_role = "py:obj"
autosummary_generate = True
autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_inherit_docstrings = False
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
numpydoc_show_class_members = False  # autodoc shows them

# the tutorial: every part is run, and an error in one of them stops the build
sphinx_gallery_conf = {
    "examples_dirs": "../tutorial",
    "gallery_dirs": "tutorial",
    "filename_pattern": r"part_\d",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "min_reported_time": float("inf"),  # times differ from build to build
    "write_computation_times": False,
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "capture_repr": (),  # representations have addresses, which differ from build to build
    "reset_argv": "site_extension.no_arguments",
}

# the pages
html_theme = "furo"
html_title = f"theano_rnn {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
