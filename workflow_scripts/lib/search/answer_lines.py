"""Answers as lines for people."""

from collections.abc import Mapping, Sequence

from models.systems.zero_shot.fusion import FusedMoment


def answer_lines(
    query: str, moments: Sequence[FusedMoment], files: Mapping[str, str | None], streams: Sequence[str], why_not: str
) -> list[str]:
    """Return a query and its moments, or that nothing was found.

    Parameters
    ----------
    files : the file of each video
    streams : what was compared, by the numbers in `sources`; named where there are several
    why_not : said where there is no moment
    """
    if not moments:
        return [query, f"   nothing found ({why_not})"]
    spans = [f"{_clock(each.moment.start_s)} - {_clock(each.moment.end_s)}" for each in moments]
    width, lines = max(map(len, spans)), [query]
    for each, span in zip(moments, spans, strict=True):
        found_by = f"  ({', '.join(streams[source] for source in each.sources)})" if len(streams) > 1 else ""
        lines.append(f"   {each.moment.score:.3f}  {span:>{width}}  {files[each.moment.video_id]}{found_by}")
    return lines


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
