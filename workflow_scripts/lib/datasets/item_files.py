"""What is published about queries beside the annotations, joined to them: noun phrases (`items`), other wordings.

Three forms of CALCE are read: its annotation files, a list of `{"video", "query", "items", ...}`; its item files,
`{qid: {"query", "items"}}`; and `{name: {qid: {"items", "stage1_result"}}}` with several of these in one file. One of
VTG-GPT: JSON lines `{"qid", "query", "rephrased_query"}`.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import BadSourceFile, BadValue, UnknownQuery
from workflow_scripts.lib.datasets.source_files import (
    read_json,
    read_json_lines,
    require,
    require_object,
    without_suffix,
)

LISTS = ("items", "rephrased_query")
"""Fields of which an entry has one at least: lists of texts."""
TO_EXTRA = ("stage1_result", "rephrased_query")
"""Fields that go to `extra_json`."""
MIN_FITTING_SHARE = 0.8
"""Of the queries that are matched by number alone: nearly all published items are words of their sentence, and a fifth
of them still is if the numbers are those of other queries."""

_CALCE_NAMES = {"QVHighlight": "qvh", "Charades": "charades"}
"""What CALCE calls a dataset -> what its keys hold here."""
_NUMBERING = (
    "CALCE numbers Charades-STA as charades_tvr does; its annotation files, which hold the sentences, go with either."
)


@dataclass
class _Found:
    """Entries of item files by what identifies a query: video and sentence, or the number in its `qid`."""

    by_sentence: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    by_number: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))


def join_items(annotations: Annotations, paths: list[Path]) -> int:
    """Set `items` of the queries that the files know; `stage1_result` and `rephrased_query` go to `extra_json`.

    Parameters
    ----------
    annotations : Annotations
        Changed in place.
    paths : list of Path
        Item files, plain or `.gz`.

    Returns
    -------
    int
        Queries that got items; the others keep what they have.

    Raises
    ------
    BadSourceFile, BadValue, MissingKey, UnknownQuery
        If a file is not in one of the forms, or if its items are those of other queries.
    """
    found = _Found()
    for path in paths:
        for where, qid, entry in _entries(_content(path), str(path)):
            _require_texts(entry, where)
            if "video" in entry:
                video = without_suffix(require(entry, "video", str, where))
                found.by_sentence[video, require(entry, "query", str, where)] = entry
            else:
                found.by_number[official_number(qid)].append(entry)
    n_joined = n_numbered = n_fitting = 0
    for row in annotations.queries:
        entry = found.by_sentence.get((row["video_id"], row["text"]))
        if entry is None:
            numbered = found.by_number.get(official_number(row["source_query_id"] or ""), [])
            entry = next((each for each in numbered if _fits(each, row["text"])), None)
            n_numbered += bool(numbered)
            n_fitting += entry is not None
            entry = entry or next(iter(numbered), None)
        if entry is not None:
            n_joined += 1
            _set(row, entry)
    if not n_joined:
        raise UnknownQuery(
            ", ".join(map(str, paths)),
            "items of none of the dataset's queries",
            "the same videos and sentences, or the same numbers",
            f"Check `annotations.items` of the dataset's YAML file. {_NUMBERING}",
        )
    if n_fitting < MIN_FITTING_SHARE * n_numbered:
        raise BadValue(
            ", ".join(map(str, paths)),
            f"items that are no words of their queries ({n_numbered - n_fitting} of {n_numbered} queries)",
            "items of these queries, by their numbers",
            f"The numbers may be those of another family of files. {_NUMBERING}",
        )
    return n_joined


def _content(path: Path) -> Any:
    return [entry for _, entry in read_json_lines(path)] if ".jsonl" in path.suffixes else read_json(path)


def _entries(value: Any, where: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield place, `qid` and object of every query."""
    if isinstance(value, list):
        for position, entry in enumerate(value):
            own = require_object(entry, f"{where}[{position}]")
            yield f"{where}[{position}]", str(require(own, "qid", (str, int), f"{where}[{position}]")), own
        return
    for key, entry in require_object(value, where).items():
        own = require_object(entry, f"{where}:{key}")
        if "items" in own:
            yield f"{where}:{key}", key, own
        elif own and all(isinstance(each, dict) for each in own.values()):
            yield from _entries(own, f"{where}:{key}")
        else:
            raise BadSourceFile(f"{where}:{key}", "no items", 'an object with "items"', "Check the file's form.")


def official_number(qid: str) -> str:
    """Return `7` of `QVHighlight_7`: CALCE puts the dataset's name before the official number."""
    return qid.rsplit("_", 1)[-1]


def calce_number(qid: str, dataset: str) -> str | None:
    """Return the official number of a query that CALCE names; None if it has no such name, or one of another dataset.

    What a dataset is called says which it is only where the key holds one of the names that it has here.
    """
    name, _, number = qid.rpartition("_")
    others = [key for other, key in _CALCE_NAMES.items() if other != name]
    return number if name in _CALCE_NAMES and not any(key in dataset for key in others) else None


def _require_texts(entry: dict[str, Any], where: str) -> None:
    for name in [name for name in LISTS if name in entry] or LISTS[:1]:
        texts = require(entry, name, list, where)
        if not all(isinstance(text, str) for text in texts):
            raise BadValue(f"{where}:{name}", repr(texts), "a list of texts")


def _fits(entry: dict[str, Any], sentence: str) -> bool:
    if "query" in entry:
        return entry["query"] == sentence
    return all(item.lower() in sentence.lower() for item in entry.get("items", ()))


def _set(row: dict[str, Any], entry: dict[str, Any]) -> None:
    row["items"] = entry.get("items", row.get("items"))
    added = {name: entry[name] for name in TO_EXTRA if name in entry}
    if added:
        extra = json.loads(row.get("extra_json") or "{}") | added
        row["extra_json"] = json.dumps(extra, sort_keys=True, ensure_ascii=False)
