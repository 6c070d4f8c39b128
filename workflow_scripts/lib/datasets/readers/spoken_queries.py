"""Spoken queries: the rows of ActivityNet Speech, or MRNet's objects by video for ActivityNet, Charades-STA and TACoS.

A row is `[video, duration, [start, end], sentence, audio file]`. MRNet's object is video -> the fields of the captions
and `audios`, the file names; where the speech is synthesised also `speaker` and `speaker_id`. MRNet's lists are sorted
by start; the number in an audio file's name is the sentence's place, from 1, in the captions' own order.
"""

from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import BadSourceFile, BadValue
from workflow_scripts.lib.datasets.sentence_layouts import add_sentences
from workflow_scripts.lib.datasets.source_files import read_json, require_object, require_span
from workflow_scripts.lib.datasets.video_names import any_video

ROW_KINDS = (("video", str), ("duration", (int, float)), ("span", list), ("sentence", str), ("audio file", str))


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read files of spoken queries.

    Parameters
    ----------
    files : dict of str to Path
        `.json` file of every split.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos, queries of the modality `speech` with their sentences, and moments.
    """
    annotations = Annotations(dataset)
    for split, path in files.items():
        content = read_json(path)
        if isinstance(content, list):
            for position, row in enumerate(content):
                _add_row(annotations, split, row, f"{path}[{position}]")
        else:
            for name, entry in require_object(content, str(path)).items():
                where = f"{path}:{name}"
                entry = require_object(entry, where)
                add_sentences(annotations, split, name, entry, where, any_video, is_spoken=True)
    return annotations


def _add_row(annotations: Annotations, split: str, row: Any, where: str) -> None:
    if not isinstance(row, list) or len(row) != len(ROW_KINDS):
        expected = "[video, duration, [start, end], sentence, audio file]"
        remedy = "Files without audio names are an older form; take the ones that begin with new_."
        raise BadSourceFile(where, f"{row!r}"[:80], expected, remedy)
    for (field, kind), value in zip(ROW_KINDS, row, strict=True):
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BadValue(f"{where}:{field}", repr(value), "text" if kind is str else "a number or a pair of numbers")
    name, duration_s, span, sentence, audio = row
    video = any_video(name, where)
    video_id = video.pop("video_id")
    annotations.add_video(video_id, split, float(duration_s), where, **video)
    query_id = annotations.add_query(video_id, split, sentence, where, modality="speech", audio_path=audio)
    annotations.add_moment(video_id, split, query_id, *require_span(span, where))
