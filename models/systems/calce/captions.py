"""Speech of a video as CALCE uses it: captions for the prompt, and the spans in which somebody speaks.

Reproduces the caption reader and the caption choice of tjhd1475/CALCE. Captions come from a .srt file or from the rows
of a transcript; both go through the same steps.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PAUSE_S = 2.5
"""Speech goes on over pauses up to this one."""
MIN_LATIN_SHARE = 0.8
"""A caption needs this share of words in plain Latin letters."""
# parity: the published list has "uh-no" too, which no word can equal since hyphens are removed before.
FILLERS = frozenset({"the", "a", "o", "oh", "yeah", "uh", "ah", "yep", "hmm"})
TOP_CAPTIONS = 5
MIN_SIMILARITY = 0.9

_TIME = r"(\d+):(\d+):(\d+),(\d+)"
_SPAN = re.compile(rf"{_TIME}\s*-->\s*{_TIME}")
_MS_PER_UNIT = (3_600_000, 60_000, 1000, 1)


class Caption(NamedTuple):
    """A text that is spoken between two times."""

    start_s: float
    end_s: float
    text: str


class Speech(NamedTuple):
    """What is known of the speech of a video."""

    captions: list[Caption]
    spans: list[tuple[float, float]]


NO_SPEECH = Speech([], [])


def read_srt(text: str) -> Speech:
    """Return the speech of a .srt file.

    Parameters
    ----------
    text : content of the file
        A line of digits begins an entry, also where it is meant as text: such a caption is lost. Text without times
        before it is passed over.
    """
    entries: list[tuple[float, float, list[str]]] = []
    is_open = False
    for line in (line.strip() for line in text.lstrip("\ufeff").splitlines()):
        match = _SPAN.match(line)
        if match:
            fields = [int(field) for field in match.groups()]
            entries.append((_seconds(fields[:4]), _seconds(fields[4:]), []))
        elif line and not line.isdigit() and is_open:
            entries[-1][2].append(line)
        is_open = bool(match) or (is_open and not line.isdigit())
    return _speech(Caption(start_s, end_s, " ".join(lines)) for start_s, end_s, lines in entries)


def from_rows(rows: Iterable[tuple[float, float, str]]) -> Speech:
    """Return the speech of transcript rows.

    Parameters
    ----------
    rows : start and end in seconds and text of every segment, in order
        Times are rounded to milliseconds, and rows of digits only are left out: a .srt file of the same rows gives
        the same speech.
    """
    return _speech(
        Caption(round(start_s * 1000) / 1000, round(end_s * 1000) / 1000, " ".join(text.split()))
        for start_s, end_s, text in rows
        if not text.strip().isdigit()
    )


def _seconds(fields: Sequence[int]) -> float:
    return sum(field * unit for field, unit in zip(fields, _MS_PER_UNIT, strict=True)) / 1000


def _speech(entries: Iterable[Caption]) -> Speech:
    spoken = [entry for entry in entries if entry.text]
    return Speech(clean(merge_repeats(spoken)), speech_spans(spoken))


def merge_repeats(captions: Iterable[Caption]) -> list[Caption]:
    """Join neighbours that repeat a text without a pause."""
    merged: list[Caption] = []
    for caption in captions:
        if merged and caption.text == merged[-1].text and caption.start_s == merged[-1].end_s:
            merged[-1] = merged[-1]._replace(end_s=caption.end_s)
        else:
            merged.append(caption)
    return merged


def speech_spans(captions: Iterable[Caption]) -> list[tuple[float, float]]:
    """Chain captions over pauses of at most 2.5 seconds; returns starts and ends in seconds."""
    spans: list[tuple[float, float]] = []
    for caption in captions:
        if spans and caption.start_s <= spans[-1][1] + PAUSE_S:
            spans[-1] = (spans[-1][0], caption.end_s)
        else:
            spans.append((caption.start_s, caption.end_s))
    return spans


def clean(captions: Iterable[Caption]) -> list[Caption]:
    """Lower the case, remove punctuation and fillers, and drop captions with too few Latin words or none at all.

    Captions in a language that is not written in Latin letters are dropped; the speech spans are not touched by this.
    """
    kept = []
    for caption in captions:
        words = re.sub(r"[^\w\s]", "", caption.text).lower().split()
        n_latin = sum(re.fullmatch("[a-zA-Z]+", word) is not None for word in words)
        text = " ".join(word for word in words if word not in FILLERS)
        if text and n_latin >= MIN_LATIN_SHARE * len(words):
            kept.append(caption._replace(text=text))
    return kept


def select(
    captions: Sequence[Caption],
    similarities: Tensor,
    *,
    top: int = TOP_CAPTIONS,
    threshold: float = MIN_SIMILARITY,
) -> list[Caption]:
    """Return the captions nearest to the query, the best first.

    Parameters
    ----------
    captions : N captions
    similarities : float (N,)
        Cosine similarity of every caption to the query.
    top : at most so many captions are kept
    threshold : a kept caption is more similar than this

    Notes
    -----
    The published sort leaves the order of equal similarities open; here it is that of the video.
    """
    if not captions:
        return []
    best = torch.argsort(similarities, descending=True, stable=True)[:top]
    return [captions[i] for i in best[similarities[best] > threshold].tolist()]
