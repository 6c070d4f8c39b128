"""A picture of how alike two features are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np


def plot_comparison(columns: Mapping[str, Sequence[float | None]], title: str, path: Path) -> None:
    """Draw the histograms of mean cosine and row difference per video as PNG.

    Parameters
    ----------
    columns : `cosine_mean` and `row_difference` of a comparison table; None: not comparable, left out
    title : what is compared
    path : PNG file to write
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5))
    cosines = [value for value in columns["cosine_mean"] if value is not None]
    low = min([0.9, *cosines])
    axes[0].hist(cosines, bins=np.linspace(low, 1.0, 41))
    axes[0].set(xlabel="mean cosine of the matched rows", ylabel="videos", xlim=(low, 1.0))
    differences = np.asarray(columns["row_difference"], np.int64)
    reach = int(np.abs(differences).max(initial=0))
    axes[1].hist(differences, bins=np.linspace(-reach - 0.5, reach + 0.5, min(41, 2 * reach + 2)))
    axes[1].set(xlabel="rows of the second less rows of the first", ylabel="videos")
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
