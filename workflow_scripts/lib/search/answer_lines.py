"""Answers as lines for people."""

from collections.abc import Mapping, Sequence

from models.systems.zero_shot.corpus import Moment


def answer_lines(
    query: str, moments: Sequence[Moment], files: Mapping[str, str], best: float, least: float
) -> list[str]:
    """Return a query and its moments, or that nothing was found.

    Parameters
    ----------
    files : the file of each video
    best : score of the best row of all videos
    least : score that a moment needs
    """
    if not moments:
        return [query, f"   nothing found (best score {best:.3f}, needed {least:.3f})"]
    spans = [f"{_clock(moment.start_s)} - {_clock(moment.end_s)}" for moment in moments]
    width = max(map(len, spans))
    return [
        query,
        *(
            f"   {moment.score:.3f}  {span:>{width}}  {files[moment.video_id]}"
            for span, moment in zip(spans, moments, strict=True)
        ),
    ]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
