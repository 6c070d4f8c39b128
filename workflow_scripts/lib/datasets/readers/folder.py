"""A folder of videos without annotations: every video that the media manifest lists, and nothing about any of them."""

from pathlib import Path

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.store.tables import read_table


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read media manifests.

    Parameters
    ----------
    files : dict of str to Path
        Manifest of the videos of every split.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos only.
    """
    annotations = Annotations(dataset)
    for split, path in files.items():
        for video_id in read_table(path, ["video_id"])["video_id"].to_pylist():
            annotations.add_video(video_id, split, None, str(path))
    return annotations
