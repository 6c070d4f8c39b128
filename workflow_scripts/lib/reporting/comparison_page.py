"""Render the comparison of two features as one self-contained HTML file."""

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from workflow_scripts.lib.reporting.page import TEMPLATES, svg_markup


def render_comparison(
    names: tuple[str, str],
    rows: Sequence[Mapping[str, Any]],
    recipes: tuple[Mapping[str, Any], Mapping[str, Any]],
    dims: tuple[int, int],
    figure: Figure,
) -> str:
    """Return the page: summary, histograms, every video with the worst first, and the two recipes.

    Parameters
    ----------
    names : of the two features
    rows : the comparison table (`COMPARISON_SCHEMA`), a dict per video
    recipes, dims : what made the rows of each feature, and their width
    figure : the histograms
    """
    return TEMPLATES.get_template("comparison.html.jinja").render(
        names=names,
        summary=summary(rows),
        statuses=Counter((row["status"], row["other_status"]) for row in rows).most_common(),
        rows=sorted(rows, key=_worst_first),
        dims=dims,
        histograms=svg_markup(figure),
        recipes=[json.dumps(recipe, indent=2, sort_keys=True) for recipe in recipes],
        differing=sorted(
            key for key in recipes[0].keys() | recipes[1].keys() if recipes[0].get(key) != recipes[1].get(key)
        ),
    )


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return counts of videos, and the middle and the worst of what is compared; None where nothing is comparable."""
    cosines = [row["cosine_mean"] for row in rows if row["cosine_mean"] is not None]
    largest = [row["max_abs_difference"] for row in rows if row["max_abs_difference"] is not None]
    return {
        "videos": len(rows),
        "matched": sum(row["matched_rows"] > 0 for row in rows),
        "comparable": len(cosines),
        "equal_length": sum(row["row_difference"] == 0 for row in rows),
        "cosine_median": statistics.median(cosines) if cosines else None,
        "cosine_least": min(cosines) if cosines else None,
        "max_abs_difference": max(largest) if largest else None,
    }


def _worst_first(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a sort key: other status first, then no cosine although both have rows, then the lowest cosine."""
    is_empty = not row["rows"] and not row["other_rows"]
    # To the digits that the page shows: rounding of floats does not decide which of two equal videos comes first.
    cosine = -2.0 if row["cosine_mean"] is None else round(row["cosine_mean"], 6)
    return row["status"] == row["other_status"], is_empty, cosine, -abs(row["row_difference"]), row["id"]
