"""Charades-STA in the numbering of 12,404 training queries: JSON lines (`*_tvr_format`), or one object by video (MMN).

The lines carry the query numbers; without them a query is known by its video and its place in it. Windows were clipped
to the durations when these files were made, and four faulty training rows left out. The same file forms of another
dataset, where videos are called by their file names, can be read too. CALCE's files have a reader of their own.
"""

from pathlib import Path

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.sentence_layouts import read_text_queries
from workflow_scripts.lib.datasets.video_names import file_video


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read Charades-STA files of the tvr family.

    Parameters
    ----------
    files : dict of str to Path
        File of every split.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos, queries and moments.
    """
    return read_text_queries(files, dataset, file_video)
