"""CALCE: a JSON list of queries with noun phrases, for Charades-STA and QVHighlights.

Fields: `qid` (`Charades_<number>`, `QVHighlight_<number>`), `video`, `query`, `duration` (whole seconds), `items` (noun
phrases), `relevant_windows`. Of Charades-STA the training windows are rounded, those of test are not. The windows of
QVHighlights' `test_dummy.json` are placeholders: take that split from the original file to score anything. Further
fields, such as the `stage1_result` of the files for stage 2, are kept in `extra_json`.
"""

from pathlib import Path

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import BadSourceFile
from workflow_scripts.lib.datasets.sentence_layouts import add_query
from workflow_scripts.lib.datasets.source_files import read_json, require_object
from workflow_scripts.lib.datasets.video_names import file_video


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read CALCE files.

    Parameters
    ----------
    files : dict of str to Path
        `.json` file of every split.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos, queries (with `items`) and moments.
    """
    annotations = Annotations(dataset)
    for split, path in files.items():
        records = read_json(path)
        if not isinstance(records, list):
            raise BadSourceFile(str(path), f"a JSON {type(records).__name__}", "a list [{...}, ...]")
        for position, record in enumerate(records):
            where = f"{path}[{position}]"
            add_query(annotations, split, where, require_object(record, where), file_video, video_field="video")
    return annotations
