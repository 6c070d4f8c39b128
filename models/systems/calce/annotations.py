"""Files of the published CALCE code: noun phrases and first-stage answers by query, and joining the two stages.

The functions take what a JSON reader returned; see `workflow_scripts/lib/datasets/readers/calce.py` for the annotation
files themselves.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def merge_stage1(annotations: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> list[dict]:
    """Return annotated queries with the first stage's windows, the input of the second stage.

    Parameters
    ----------
    annotations : objects of an annotation file, each with a `qid`
    results : rows of the first stage's result file with `qid` and `pred_windows`; of repeated ones the last counts

    Returns
    -------
    list of dict
        The annotations in their order with `stage1_result` set.

    Raises
    ------
    KeyError
        If a query has no result; the message names it.
    """
    windows = {row["qid"]: row["pred_windows"] for row in results}
    missing = [row["qid"] for row in annotations if row["qid"] not in windows]
    if missing:
        raise KeyError(f"stage 1 gave no result for {len(missing)} of {len(annotations)} queries, e.g. {missing[0]}")
    return [{**row, "stage1_result": windows[row["qid"]]} for row in annotations]
