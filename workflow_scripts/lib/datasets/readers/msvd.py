"""MSVD: short clips of YouTube videos with about forty English captions each (`AllVideoDescriptions.txt`).

The file of captions, here under the name `captions`, has a line `<clip> <caption>` each; lines that begin with `#` and
empty ones count for nothing. The other files list the clips of a split, one per line, with or without an extension. A
clip is called `<YouTube id>_<first second>_<last second>`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import BadSourceFile, UnknownVideo
from workflow_scripts.lib.datasets.source_files import read_text, without_suffix
from workflow_scripts.lib.datasets.youtube_clips import clip_columns

CAPTIONS = "captions"


def splits_of(names: Iterable[str]) -> list[str]:
    """Return the names that are not the one of the captions."""
    return [name for name in names if name != CAPTIONS]


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read MSVD.

    Parameters
    ----------
    files : dict of str to Path
        `captions`, and the list of clips of every split.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos and captions; no queries.
    """
    if CAPTIONS not in files:
        where, wanted = f"annotations.files of {dataset}", f"the file of captions as {CAPTIONS!r} too"
        raise BadSourceFile(where, f"only {', '.join(files)}", wanted)
    texts: dict[str, list[str]] = {}
    for where, line in _lines(files[CAPTIONS]):
        clip, _, text = line.partition(" ")
        if not text.strip():
            raise BadSourceFile(where, repr(line), "`<clip> <caption>`")
        texts.setdefault(clip, []).append(text.strip())
    annotations = Annotations(dataset)
    for split in splits_of(files):
        for where, line in _lines(files[split]):
            _add_clip(annotations, split, without_suffix(line), where, texts)
    return annotations


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip() and not line.startswith("#"):
            yield f"{path}:{number}", line.strip()


def _add_clip(annotations: Annotations, split: str, clip: str, where: str, texts: dict[str, list[str]]) -> None:
    annotations.require_new_video(clip, where)
    if clip not in texts:
        raise UnknownVideo(where, repr(clip), "a clip with captions")
    columns = clip_columns(clip, where)
    annotations.add_video(clip, split, columns.pop("duration_s"), where, **columns)
    for text in texts[clip]:
        annotations.add_caption(clip, split, text)
