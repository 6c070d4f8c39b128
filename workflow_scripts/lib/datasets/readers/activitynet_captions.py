"""ActivityNet Captions: one JSON object, `v_` and YouTube id -> `duration`, `timestamps`, `sentences`.

IMG's copies (`*_qid.json`) add a list `qid`, which then names the queries; they lack one video, and two sentences are
corrected. Without it a query is known by its video and its place in it. The JSON lines by query of lighthouse, whose
windows are clipped (to within 0.01 s), are read too.
"""

from pathlib import Path

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.sentence_layouts import read_text_queries
from workflow_scripts.lib.datasets.video_names import activitynet_video


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read ActivityNet Captions files.

    Parameters
    ----------
    files : dict of str to Path
        File of every split.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos, queries and moments; a video of both validation splits is one row.
    """
    return read_text_queries(files, dataset, activitynet_video)
