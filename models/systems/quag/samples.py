"""From rows, transcripts and annotations to the inputs of the three tasks.

Reproduces the items of j-min/HiREST `hirest_dataset.py`. What its paths say there (training items, the width of
speech) is said by arguments here.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.layers.time_alignment import resample_rows, row_of_second, second_of_row, time_grid, warp_to_seconds
from models.systems.quag.config import DataConfig
from models.systems.quag.words import PAD, CaptionWords

Task = Literal["moments", "steps", "captions"]
Span = tuple[float, float]
PROMPT_TOKENS = 77
"""Byte pairs of a query with start and end that EVA-CLIP's text tower has positions for."""


@dataclass(frozen=True)
class Video:
    """A video as all tasks see it.

    Attributes
    ----------
    visual : float32 (T, D)
    speech : float32 (T, A); None without a speech feature
    grid : float64 (T,), second of every row
    """

    visual: np.ndarray
    speech: np.ndarray | None
    grid: np.ndarray

    def row(self, time_s: float) -> int:
        """Return the row of a time."""
        return row_of_second(time_s, self.grid)

    def second(self, row: int) -> int:
        """Return the second of a row."""
        return second_of_row(row, self.grid)


def read_video(
    name: str,
    duration_s: float,
    visual: np.ndarray,
    speech: tuple[np.ndarray, Sequence[Span]] | None,
    data: DataConfig,
) -> Video:
    """Return a video with as many rows of each feature as its grid has.

    Parameters
    ----------
    name : for messages
    duration_s : seconds, rounded half to even to the number of rows
    visual : (n, D), one row per second
    speech : (s, A), one row per line of the transcript, and start and end second of each; rows that are laid on
        seconds already, each with its second, stay as they are. (0, A) is a transcript without lines
    data : see `DataConfig`

    Raises
    ------
    ValueError
        If the video has no whole second or too few rows, or speech is not one row per line.
    """
    duration = round(duration_s)
    if duration < 1:
        raise ValueError(f"video {name}: {duration_s} s are no whole second, there would be no row; leave it out")
    visual = _fitting(name, np.asarray(visual, dtype=np.float32), duration, data)
    n_rows = duration if data.n_rows < 0 else data.n_rows
    if data.n_rows > 0:
        visual = resample_rows(visual, data.n_rows)
    return Video(
        visual, None if speech is None else _laid_speech(name, *speech, duration, data), time_grid(duration, n_rows)
    )


def _fitting(name: str, rows: np.ndarray, duration: int, data: DataConfig) -> np.ndarray:
    if len(rows) >= duration:
        return rows[:duration]
    if data.missing_rows == "refuse" or not len(rows):
        raise ValueError(
            f"video {name}: {len(rows)} visual rows, but {duration} seconds (its duration, rounded); extract one row "
            "per second, or set data.missing_rows: repeat_last"
        )
    return np.concatenate([rows, np.repeat(rows[-1:], duration - len(rows), axis=0)])


def _laid_speech(name: str, rows: np.ndarray, spans_s: Sequence[Span], duration: int, data: DataConfig) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float32)
    if rows.ndim != 2:
        raise ValueError(
            f"video {name}: rows of speech of shape {rows.shape} are no matrix; store a transcript without lines as "
            "(0, width)"
        )
    if len(rows) != len(spans_s):
        raise ValueError(
            f"video {name}: {len(rows)} rows of speech, but {len(spans_s)} lines in its transcript; embed the lines of "
            "this very transcript"
        )
    if data.n_rows < 0:
        return warp_to_seconds(rows, spans_s, duration)
    if data.speech_axis == "seconds":
        return resample_rows(warp_to_seconds(rows, spans_s, duration), data.n_rows)
    # parity: seconds of speech are taken for rows of the resampled video.
    return warp_to_seconds(rows, spans_s, data.n_rows)


def check_prompt(text: str, data: DataConfig) -> None:
    """Refuse a query with more byte pairs, start and end included, than the text tower reads.

    Raises
    ------
    ValueError
        Unless `data.long_prompt` lets its end be cut.
    """
    # A byte pair has a byte at least, so that most queries need no tokenizer, which takes seconds to load.
    if data.long_prompt == "cut" or len(text.encode()) + 2 <= PROMPT_TOKENS:
        return
    n_tokens = _n_byte_pairs(text)
    if n_tokens > PROMPT_TOKENS:
        raise ValueError(
            f"query {text!r} has {n_tokens} byte pairs, {PROMPT_TOKENS} are read; shorten it, or set "
            "data.long_prompt: cut"
        )


# Every sample of every epoch asks.
@cache
def _n_byte_pairs(text: str) -> int:
    return len(_byte_pairs()(text))


@cache
def _byte_pairs() -> Callable[[str], list[int]]:
    from models.encoders.networks.clip import BytePairs

    return BytePairs(sys.maxsize)


def moment_sample(video: Video, moment: Span | None) -> dict[str, Any]:
    """Return the sample of a query that asks for a moment; with targets where `moment` (seconds) is given."""
    sample = _base(video) | {"moment_mask": np.ones(len(video.grid), dtype=bool)}
    if moment is not None:
        sample |= {"start_row": video.row(moment[0]), "end_row": video.row(moment[1])}
    return sample


def boundaries_of(steps: Sequence[Span]) -> list[float]:
    """Return all starts and ends of steps, each once, ascending."""
    return sorted({time_s for step in steps for time_s in step})


def n_step_samples(steps: Sequence[Span]) -> int:
    """Return the training samples that a moment's steps give: one per boundary but the last, none for a single step."""
    n_boundaries = len(boundaries_of(steps))
    return n_boundaries - 1 if n_boundaries > 2 else 0


def step_sample(video: Video, moment: Span, steps: Sequence[Span], index: int) -> dict[str, Any]:
    """Return a training sample: the first `index + 1` boundaries are known, the next one is asked for.

    Raises
    ------
    ValueError
        If the next boundary lies outside the moment, where the published loss is infinite.
    """
    rows = [video.row(time_s) for time_s in boundaries_of(steps)]
    last = video.row(moment[1])
    if rows[index + 1] > last:
        raise ValueError(f"a step ends at row {rows[index + 1]}, after the moment's last row {last}")
    boundary_mask = np.zeros(len(video.grid), dtype=bool)
    boundary_mask[rows[: index + 1]] = True
    masks = {"moment_mask": _mask(video, rows[index], last), "boundary_mask": boundary_mask}
    return _base(video) | masks | {"next_row": rows[index + 1]}


def steps_question(video: Video, moment: Span) -> dict[str, Any]:
    """Return the sample of a moment that is to be cut into steps."""
    first, last = video.row(moment[0]), video.row(moment[1])
    boundary_mask = np.zeros(len(video.grid), dtype=bool)
    boundary_mask[first] = True
    masks = {"moment_mask": _mask(video, first, last), "boundary_mask": boundary_mask}
    return _base(video) | masks | {"moment_rows": (first, last)}


def caption_sample(video: Video, step: Span, text: str | None, words: CaptionWords, data: DataConfig) -> dict[str, Any]:
    """Return the sample of a step (seconds) that is to be described; with targets where its text is given."""
    first, last = video.row(step[0]), video.row(step[1])
    # parity: a step that ends before it starts has its last row only.
    rows = slice(min(first, last), last + 1)
    sample = {"visual": step_rows(video.visual[rows], data)}
    if video.speech is not None:
        sample["speech"] = step_rows(video.speech[rows], data)
    sample["moment_mask"] = np.ones(data.step_rows, dtype=bool)
    if text is not None:
        sample["words"], sample["next_words"] = words.training_pair(text, data.max_words)
    return sample


def step_rows(rows: np.ndarray, data: DataConfig) -> np.ndarray:
    """Bring the rows of a step (n, D) to `data.step_rows`: few are repeated, of many the first ones are taken.

    With `data.long_step` resample evenly spaced ones are taken instead.
    """
    if len(rows) > data.step_rows and data.long_step == "truncate":
        return rows[: data.step_rows]
    return resample_rows(rows, data.step_rows)


def _base(video: Video) -> dict[str, Any]:
    speech = {} if video.speech is None else {"speech": video.speech}
    return {"visual": video.visual} | speech


def _mask(video: Video, first: int, last: int) -> np.ndarray:
    mask = np.zeros(len(video.grid), dtype=bool)
    mask[first : last + 1] = True
    return mask


def collate(task: Task, samples: Sequence[Mapping[str, Any]], n_words: int | None = None) -> dict[str, Any]:
    """Return a batch of samples of one task.

    Parameters
    ----------
    samples : of the functions above, each with `query` (Q,) and `video_id` added
    n_words : length that captions are padded to, as published `data.max_words`; None: the longest one's

    Returns
    -------
    dict
        `task`; `visual` (B, T, D), `speech` (B, T, A), `valid_mask`, `moment_mask`, `boundary_mask` (B, T), padded at
        the end; `query` (B, Q); `video_numbers` int64 (B,); targets int64 (B,); `words`, `next_words` int64 (B, L) and
        `words_mask` bool (B, L); `moment_rows`, a list
    """
    batch: dict[str, Any] = {"task": task, "query": torch.from_numpy(np.stack([s["query"] for s in samples]))}
    valid = [np.ones(len(sample["visual"]), dtype=bool) for sample in samples]
    batch["valid_mask"] = _padded(valid)
    for name in ("visual", "speech", "moment_mask", "boundary_mask"):
        if name in samples[0]:
            batch[name] = _padded([sample[name] for sample in samples])
    for name in ("start_row", "end_row", "next_row"):
        if name in samples[0]:
            batch[name] = torch.tensor([sample[name] for sample in samples])
    if "moment_rows" in samples[0]:
        batch["moment_rows"] = [sample["moment_rows"] for sample in samples]
    if "words" in samples[0]:
        batch |= _collated_words(samples, n_words)
    numbers: dict[str, int] = {}
    batch["video_numbers"] = torch.tensor([numbers.setdefault(s["video_id"], len(numbers)) for s in samples])
    return batch


def _padded(rows: Sequence[np.ndarray]) -> Tensor:
    return pad_sequence([torch.from_numpy(np.ascontiguousarray(part)) for part in rows], batch_first=True)


def _collated_words(samples: Sequence[Mapping[str, Any]], n_words: int | None) -> dict[str, Tensor]:
    lengths = torch.tensor([len(sample["words"]) for sample in samples])
    length = int(lengths.max()) if n_words is None else n_words
    found = {"words_mask": torch.arange(length) < lengths[:, None]}
    for name in ("words", "next_words"):
        rows = [[*sample[name], *[PAD] * (length - len(sample[name]))] for sample in samples]
        found[name] = torch.tensor(rows)
    return found
