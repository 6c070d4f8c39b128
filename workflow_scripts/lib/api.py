"""What other programs import: `from workflow_scripts import encode, features`.

Whatever takes long to import is imported inside, because every entry point imports this package.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workflow_scripts.lib.configuration.compose import Configuration
    from workflow_scripts.lib.store.feature_store import FeatureStore, StoredRows

CHECKOUT = Path(__file__).resolve().parents[2]
PLAIN = "demo"
"""A dataset whose file changes no feature."""


def encode(video: Path | str, feature: str, dataset: str = PLAIN, config: Path | str | None = None) -> "StoredRows":
    """Return the rows of one video, the same that the workflow stores of it.

    Parameters
    ----------
    video : the file
    feature : name of a file in config/features/, of kind `visual` or `audio`
    dataset : as it is on this dataset; by default as its file says
    config : folder of the configuration files; None: config/ of the working directory, else of the checkout. Weights
        are looked for where `paths.weights` says, which is relative to the working directory

    Raises
    ------
    UserError
        there is no such video, feature or configuration, the weights are not there, or the video gives no rows

    Examples
    --------
    >>> encode("film.mp4", "clip_b32").values.shape  # doctest: +SKIP
    (245, 512)
    """
    import numpy as np

    from workflow_scripts.lib.errors import UserError
    from workflow_scripts.lib.extraction.settings import feature_settings
    from workflow_scripts.lib.extraction.single_video import encode_video
    from workflow_scripts.lib.store.feature_store import StoredRows

    found = encode_video(feature_settings(_configuration(config), dataset, feature), Path(video))
    if found.status == "failed":
        raise UserError(f"{video}: {found.reason}")
    return StoredRows(found.values, np.asarray(found.times, np.float32), found.status, found.reason)


def features(dataset: str, feature: str, results: Path | str = "results") -> "FeatureStore":
    """Return a feature that the workflow has made: `features(...)[video_id]` reads the rows of a video.

    Parameters
    ----------
    results : folder of the results

    Raises
    ------
    UserError
        it has not been made
    """
    from workflow_scripts.lib.errors import UserError
    from workflow_scripts.lib.store.feature_store import FeatureStore

    index = Path(results) / dataset / "features" / feature / "index.parquet"
    if not index.is_file():
        raise UserError(f"{index}: no such feature; make it first: snakemake --cores all {index}")
    return FeatureStore(index.parent)


def _configuration(folder: Path | str | None) -> "Configuration":
    from workflow_scripts.lib.configuration.compose import Configuration
    from workflow_scripts.lib.configuration.layers import read_yaml
    from workflow_scripts.lib.errors import UserError

    places = [Path("config"), CHECKOUT / "config"] if folder is None else [Path(folder)]
    found = next((place for place in places if (place / "config.yaml").is_file()), None)
    if found is None:
        raise UserError(
            f"no config.yaml in {' or '.join(map(str, places))}: the configuration files are not installed with the "
            "package. Work in a checkout of the repository, or name its folder: config='<checkout>/config'"
        )
    return Configuration(read_yaml(found / "config.yaml"), found)
