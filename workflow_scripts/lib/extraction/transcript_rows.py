"""From the lines of a transcript to rows of its video."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from models.layers.time_alignment import warp_to_clips, warp_to_seconds
from workflow_scripts.lib.errors import UserError


def align_lines(
    rows: np.ndarray, spans: Sequence[tuple[float, float]], duration_s: float, recipe: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Lay the embeddings of lines on the time of their video.

    Parameters
    ----------
    rows : float32 (n, D)
        One embedding per line.
    spans : n pairs of float
        Start and end second of each line.
    duration_s : float
        Of the video.
    recipe : dict
        `align`: `segments` keeps the lines as they are, `seconds` gives a row per second, `clips` one per `clip_s`.

    Returns
    -------
    rows : float32 (T, D)
    times : float64 (T, 2)
        Start and end second of each row.
    """
    if recipe["align"] == "segments":
        return rows, np.array(spans, np.float64).reshape(-1, 2)
    if recipe["align"] == "seconds":
        step_s, laid = 1.0, warp_to_seconds(rows, spans, round(duration_s))
    else:
        step_s = recipe["clip_s"]
        laid = warp_to_clips(rows, spans, step_s, math.ceil(duration_s / step_s))
    starts = np.arange(len(laid)) * step_s
    return laid, np.stack([starts, starts + step_s], axis=1)


def embed_lines(
    encode: Callable[[list[str]], Sequence[np.ndarray]], texts: Sequence[str], batch_size: int
) -> np.ndarray:
    """Return one row (n, D) per line of text.

    Equal lines are encoded once, and lines of about the same length together, so that little is padded.

    Raises
    ------
    UserError
        The encoder gives rows of tokens.
    """
    different = sorted(dict.fromkeys(texts), key=len)
    batches = (different[start : start + batch_size] for start in range(0, len(different), batch_size))
    rows = [row for batch in batches for row in encode(batch)]
    if any(len(row) != 1 for row in rows):
        raise UserError("a transcript feature needs one row per line; choose an `output` of the encoder for sentences")
    row_of = dict(zip(different, rows, strict=True))
    return np.concatenate([row_of[text] for text in texts])
