"""TACoS: one JSON object, `sXX-dYY.avi` -> `timestamps` in frames, `sentences`, `fps`, `num_frames`.

Equal sentences with equal windows come from several annotators and all stay. The JSON lines by query of
lighthouse, whose times are in seconds and clipped, are read too.
"""

from pathlib import Path

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.sentence_layouts import read_text_queries
from workflow_scripts.lib.datasets.video_names import file_video


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read TACoS files.

    Parameters
    ----------
    files : dict of str to Path
        File of every split.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos (with frame rate and number of frames), queries and moments.
    """
    return read_text_queries(files, dataset, file_video)
