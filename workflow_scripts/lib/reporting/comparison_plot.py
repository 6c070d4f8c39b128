"""A picture of how alike two features are."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure


def comparison_figure(columns: Mapping[str, Sequence[float | None]], title: str) -> Figure:
    """Draw the histograms of mean cosine and row difference per video.

    Parameters
    ----------
    columns : `cosine_mean` and `row_difference` of a comparison table; None: not comparable, left out
    title : what is compared
    """
    figure = Figure(figsize=(9, 3.5), layout="tight")
    axes = figure.subplots(1, 2)
    cosines = [value for value in columns["cosine_mean"] if value is not None]
    low = min([0.9, *cosines])
    axes[0].hist(cosines, bins=np.linspace(low, 1.0, 41))
    axes[0].set(xlabel="mean cosine of the matched rows", ylabel="videos", xlim=(low, 1.0))
    differences = np.asarray(columns["row_difference"], np.int64)
    reach = int(np.abs(differences).max(initial=0))
    axes[1].hist(differences, bins=np.linspace(-reach - 0.5, reach + 0.5, min(41, 2 * reach + 2)))
    axes[1].set(xlabel="rows of the second less rows of the first", ylabel="videos")
    figure.suptitle(title)
    return figure
