"""The file `config/datasets/<name>.yaml` of a folder of videos, with comments for the person who edits it next."""

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.datasets.own_folder import OwnFolder, OwnQueries, duration_text

EXAMPLE = ("video,query,start,end", "a dog runs into the water,12.0,15.5")
_TAKEN = ("logs", "needed", "weights")
"""Folders below `results/` that belong to no dataset."""

_HEAD = """\
# The videos of one folder; `python -m workflow_scripts.init` wrote this after looking into it: {found}.
# Every key: docs/configuration.md.
title: {title}
videos: {videos}
# Videos that cannot be used are left out and listed in results/{name}/media/problems.tsv; `fail` stops instead.
on_bad_video: skip
"""
_WITHOUT_QUERIES = """\
# Without annotations every video of the folder and its subfolders counts, also those that are added later. To ask
# queries about them, make a table such as
#   {header}
#   {line}
# (one line per query; start and end, in seconds, may be empty) and take these lines in:
# annotations:
#   format: plain
#   files: {{test: /path/to/queries.csv}}
"""
_WITH_QUERIES = """\
annotations:
  format: plain
  files:
    # Lines with a column `split` belong to that one.
    test: {file}
"""
_FROM_DEMO = """\
systems:
  img:
    # Nothing is trained here: the network is that of the demo, which has seen coloured shapes only and shows that the
    # path works. To train on these videos give some lines the split train, some val, and take this section out.
    checkpoint_from: demo
    queries: {kinds: null}
    evaluation: {group_by: null, zero_streams: []}
"""


def dataset_name(folder: Path) -> str:
    """Return the name of a folder in the letters that names of datasets have."""
    plain = unicodedata.normalize("NFKD", folder.name).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or "videos"
    return f"{name}_videos" if name in _TAKEN else name


def dataset_text(name: str, found: OwnFolder, queries: OwnQueries | None) -> str:
    """Return the content of the file."""
    sizes = f"{len(found.surveys)} files, {duration_text(found.hours)} of video"
    text = _HEAD.format(name=name, found=sizes, title=_quoted(found.folder.name), videos=_quoted(found.folder))
    if queries is None:
        return text + _WITHOUT_QUERIES.format(header=EXAMPLE[0], line=example_line(found))
    splits = _splits(queries.splits)
    text += _WITH_QUERIES.format(file=_quoted(queries.file.resolve()))
    return text + (f"splits: {{{splits}}}\n" if splits else "") + ("" if trains(queries) else _FROM_DEMO)


def example_line(found: OwnFolder) -> str:
    """Return a line of a list of queries about one of the videos."""
    path = found.usable[0].path
    is_plain = not re.search(r'[,"]', path)
    return f"{path if is_plain else _csv_quoted(path)},{EXAMPLE[1]}"


def trains(queries: OwnQueries) -> bool:
    """Return whether a system can be trained on a list of queries."""
    return "train" in queries.splits and queries.n_moments > 0


def _splits(known: Sequence[str]) -> str:
    """Return which split plays which part, where it is not the one of that name."""
    if "train" not in known:
        return ""
    parts = [] if "val" in known else ["select: held_out"]
    if "test" not in known:
        parts.append(f"test: [{'val' if 'val' in known else 'train'}]")
    return ", ".join(parts)


def _quoted(value: object) -> str:
    """Return text as YAML takes it, whatever is in it."""
    return json.dumps(str(value), ensure_ascii=False)


def _csv_quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'
