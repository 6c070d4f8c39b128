"""What the language model of CALCE reads and what it is to write.

Reproduces the prompt of tjhd1475/CALCE (after sudo-Boris/mr-Blip):

    frame, time, frame, time, ... > duration <extra_id_0> [start caption end] ... <extra_id_1> text </s>
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import LongTensor, Tensor

from models.systems.calce.captions import Caption
from models.systems.calce.tokens import FIRST_SENTINEL, MAX_TOKENS, SECOND_SENTINEL, T5Text, t5

VISUAL = -1
"""Stands for one visual vector in the ids of a prompt."""
NO_CAPTION = Caption(-1, -1, "*None*")
NO_WINDOW = (-1, -1)
"""Stands for the windows of a first stage that answered none, as it stands for answers that cannot be read."""
TASK = "Given the video and the subtitle and the query, find the query relevant windows.\nRelevant windows: "
NUMBERS = ("substring", "whole", "keep")
"""How numbers of a target are replaced, see `target`."""


@dataclass(frozen=True)
class Prompt:
    """Input of the language model for one sample.

    Attributes
    ----------
    ids : int64 (L,), T5 ids; `VISUAL` stands for the visual vectors, frame after frame
    lengths : length of the parts of frames, captions and text; they add up to L
    is_cut : the text was too long: its end, with the task, is missing
    """

    ids: LongTensor
    lengths: tuple[int, int, int]
    is_cut: bool


def frame_times(frame_idx: Sequence[int], frame_rate: float, *, decimals: int | None = None) -> Tensor:
    """Return the times of frames in seconds, float32 (T,).

    Parameters
    ----------
    frame_idx : positions of the frames in the video
    frame_rate : average frames per second
    decimals : round to so many; the published second stage rounds to 2, the first does not
    """
    times_s = torch.tensor([index / frame_rate for index in frame_idx], dtype=torch.float32)
    return times_s if decimals is None else times_s.round(decimals=decimals)


def text(query: str, items: Sequence[str], windows: Sequence[Sequence[int]] | None = None) -> str:
    """Return the text part of the prompt.

    Parameters
    ----------
    query : as annotated
    items : noun phrases of the query
    windows : answer of the first stage in whole seconds, for the second stage; None in the first. No window is written
        as `[[-1, -1]]`
    """
    reference = "" if windows is None else f"ref: {_written(windows or [NO_WINDOW])}\n"
    return f"Query: {query}\n{reference}Items: {','.join(items)}\n{TASK}"


def layout(
    frame_times_s: Sequence[float],
    n_vectors_per_frame: Sequence[int],
    duration_s: float,
    captions: Sequence[Caption],
    text_prompt: str,
    tokenizer: T5Text | None = None,
) -> Prompt:
    """Return the ids of a whole prompt.

    Parameters
    ----------
    frame_times_s : time of every frame that is shown; tensors are accepted
    n_vectors_per_frame : visual vectors of the same frames
    duration_s : duration of the video
    captions : selected captions, the best first; none is written as `*None*`
    text_prompt : result of `text`
    tokenizer : `tokens.t5()` unless given
    """
    tokenizer = tokenizer or t5()
    frames: list[int] = []
    for time_s, n_vectors in zip(frame_times_s, n_vectors_per_frame, strict=True):
        frames += [VISUAL] * int(n_vectors) + tokenizer.seconds(float(time_s))
    frames += [*tokenizer.sign(">"), *tokenizer.seconds(duration_s), FIRST_SENTINEL]
    spoken = [piece for caption in captions or [NO_CAPTION] for piece in _caption_ids(caption, tokenizer)]
    spoken.append(SECOND_SENTINEL)
    words = tokenizer.ids(text_prompt)
    is_cut = len(tokenizer.pieces(text_prompt)) >= MAX_TOKENS
    ids = torch.tensor(frames + spoken + words)
    return Prompt(ids, (len(frames), len(spoken), len(words)), is_cut)


def _caption_ids(caption: Caption, tokenizer: T5Text) -> list[int]:
    return [
        *tokenizer.sign("["),
        *tokenizer.seconds(caption.start_s),
        *tokenizer.pieces(caption.text)[:MAX_TOKENS],
        *tokenizer.seconds(caption.end_s),
        *tokenizer.sign("]"),
    ]


def whole_seconds(windows: Sequence[Sequence[float]]) -> list[list[int]]:
    """Round windows half to even, as CALCE does with the training moments of Charades-STA."""
    return [[round(float(start_s)), round(float(end_s))] for start_s, end_s in windows]


def target(windows: Sequence[Sequence[float]], *, numbers: str = "substring", tokenizer: T5Text | None = None) -> str:
    """Return what the model is to write, e.g. `[[10, 24], [36, 48]]`.

    Parameters
    ----------
    windows : annotated moments, starts and ends in seconds; see `whole_seconds`
    numbers : what becomes of numbers that are several tokens. `substring`: as published, replaced one after the other
        wherever their digits stand, so that 1128 becomes 1138; `whole`: replaced where they are a whole number;
        `keep`: written as they are. Answers are never mapped back, so both replacements move a few borders by a
        second.
    """
    if numbers not in NUMBERS:
        raise ValueError(f"numbers of a target: {numbers!r} is not one of {', '.join(NUMBERS)}")
    written = _written(windows)
    replacements = (tokenizer or t5()).replacements if numbers != "keep" else {}
    if numbers == "substring":
        for number, replacement in replacements.items():
            written = written.replace(str(number), str(replacement))
        return written
    return re.sub(r"(?<![\d.])\d+(?![\d.])", lambda found: str(replacements.get(int(found[0]), found[0])), written)


def _written(windows: Sequence[Sequence[float]]) -> str:
    return str([list(window) for window in windows])
