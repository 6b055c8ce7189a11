"""Sphinx builds the documentation: ``nox -s docs``. Nothing is fetched from elsewhere."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import generate
from generate import figures

import rbinfer

generate.write_all(HERE / "_generated")

project = "rbinfer"
author = "The rbinfer developers"
project_copyright = author
version = release = rbinfer.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
]
# Pieces that other pages include are no pages.
exclude_patterns = ["_build", "_generated/*.md", "generate", "recipes/.snakemake"]
templates_path = ["_templates"]
default_role = "py:obj"

smartquotes = False  # options are copied from pages: two hyphens stay two

myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_heading_anchors = 4
#: Figures in pages are taken from here, as ``{{ results.coldstart.import_s }}``.
myst_substitutions = {**figures.substitutions(HERE.parent), "version": version}

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = f"rbinfer {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "rbinfer"},
    "show_prev_next": True,
    "navigation_depth": 2,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "changelog": [], "glossary": []}
