"""How far the texts of clips cover their videos."""

from collections.abc import Iterator, Mapping, Sequence

Span = tuple[float, float]

ROUNDING_S = 1e-3
"""Seconds below which there is no gap."""


def coverage_lines(
    spans: Mapping[str, Sequence[Span]], durations_s: Mapping[str, float], every_clip: bool
) -> list[str]:
    """Return a line about time without a text and one about texts that begin after the end; none where all is well.

    Parameters
    ----------
    spans : of the texts of each video, at least one, seconds
    durations_s : of the videos
    every_clip : whether there should be a text all the time; a gap counts that is as long as the shortest text
    """
    gaps, late = {}, {}
    for video_id, own in spans.items():
        end_s = durations_s[video_id]
        late[video_id] = [span for span in own if span[0] > end_s - ROUNDING_S]
        if every_clip:
            clip_s = min(end - start for start, end in own)
            gaps[video_id] = [gap for gap in _gaps(own, end_s) if gap[1] - gap[0] > clip_s - ROUNDING_S]
    lines = []
    if any(gaps.values()):
        lost_s = sum(end - start for own in gaps.values() for start, end in own)
        lines.append(f"{lost_s:g} s without a text in {_videos(gaps)}")
    if any(late.values()):
        n_late = sum(map(len, late.values()))
        lines.append(
            f"{n_late} text{'s' * (n_late > 1)} past the end of {_videos(late)}, which "
            f"{'count' if n_late > 1 else 'counts'} for nothing"
        )
    return lines


def _gaps(spans: Sequence[Span], end_s: float) -> Iterator[Span]:
    """Yield the stretches of a video that no span covers."""
    covered_s = 0.0
    for start, end in [*sorted(spans), (end_s, end_s)]:
        if min(start, end_s) > covered_s:
            yield covered_s, min(start, end_s)
        covered_s = max(covered_s, end)


def _videos(found: Mapping[str, Sequence[Span]]) -> str:
    """Return how many videos have something, and the first of it."""
    having = {video_id: own for video_id, own in found.items() if own}
    video_id, [(start, end), *_] = next(iter(having.items()))
    return f"{len(having)} video{'s' * (len(having) > 1)} ({video_id}: {start:g} to {end:g} s, for one)"
