"""Sphinx configuration of the documentation: ``sphinx-build -W --keep-going -n docs build/docs``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

import bandrt  # noqa: E402

project = "bandrt"
author = "the bandrt developers"
copyright = f"{author}, MIT licence"
version = release = bandrt.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
    "from_code",
]
exclude_patterns = ["_build", "_generated", "**.ipynb_checkpoints"]

myst_enable_extensions = ["deflist", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_merge_streams = True

default_role = "code"
smartquotes = False  # or two dashes of an option become one
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_attr_annotations = False  # the texts say shapes
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
nitpick_ignore_regex = [  # of other packages, whose pages are elsewhere
    ("py:.*", r"(numpy|np|collections|os|pathlib|typing|types|click)\..*"),
    ("py:class", r"(tuple|dict)\[str"),  # Sphinx takes a default value apart
    ("py:class", r"NDArray|floating|float32|float64|complex128|int32|int64|bool_|Carrier"),
    ("py:class", r"bandrt\.(engine\.session\.Session|results\.prediction\.Ticket|features\.Column)"),  # not public
    ("py:class", r"bandrt\.(symmetry\.standard_cell\.StandardCell|hamiltonian\.\w+\.(Cell|Smooth)Hamiltonian)"),
]

html_theme = "furo"
html_title = f"bandrt {release}"
html_static_path = ["_static"]
html_css_files = ["bandrt.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b62a4", "color-brand-content": "#0b62a4"},
    "dark_css_variables": {"color-brand-primary": "#6cb6f0", "color-brand-content": "#6cb6f0"},
}
copybutton_prompt_text = r"^\$ |>>> "
copybutton_prompt_is_regexp = True
