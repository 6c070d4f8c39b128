"""A picture of how alike two features are."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure


def comparison_figure(columns: Mapping[str, Sequence[float | None]], title: str) -> Figure:
    """Draw the histograms of row difference and, where rows could be compared, of mean cosine per video.

    Parameters
    ----------
    columns : `cosine_mean` and `row_difference` of a comparison table; None: not comparable, left out
    title : what is compared
    """
    figure = Figure(figsize=(9, 3.5), layout="tight")
    cosines = [value for value in columns["cosine_mean"] if value is not None]
    *cosine_axes, axes = figure.subplots(1, 2 if cosines else 1, squeeze=False)[0]
    for own in cosine_axes:
        low = min([0.9, *cosines])
        own.hist(cosines, bins=np.linspace(low, 1.0, 41))
        own.set(xlabel="mean cosine of the matched rows", ylabel="videos", xlim=(low, 1.0))
    differences = np.asarray(columns["row_difference"], np.int64)
    reach = int(np.abs(differences).max(initial=0))
    axes.hist(differences, bins=np.linspace(-reach - 0.5, reach + 0.5, min(41, 2 * reach + 2)))
    axes.set(xlabel="rows of the second less rows of the first", ylabel="videos")
    figure.suptitle(title)
    return figure
