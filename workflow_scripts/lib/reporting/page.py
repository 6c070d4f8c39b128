"""What all HTML pages share: templates and pictures that lie in the page itself."""

import io
from pathlib import Path

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

# The same page for the same numbers: ids of SVG elements come from this salt, not from a random one.
matplotlib.rcParams["svg.hashsalt"] = "momentflow"

TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True)


def svg_markup(figure: Figure) -> Markup:
    """Return a figure as an SVG element to put into a page."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return Markup(text.getvalue()[text.getvalue().index("<svg") :])
