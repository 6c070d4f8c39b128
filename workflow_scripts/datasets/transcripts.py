"""What is said in the videos that a system asks about."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from workflow_scripts.datasets.errors import MissingTranscript

_SHOWN = 5


def segments_of_videos(
    rows: Iterable[Mapping[str, Any]], video_ids: Collection[str], without_speech: Collection[str], where: str
) -> dict[str, list[Mapping[str, Any]]]:
    """Return the transcript of every video.

    Parameters
    ----------
    rows : iterable of mappings
        Rows of the table of transcripts.
    video_ids : collection of str
        The videos that are needed.
    without_speech : collection of str
        Videos that were transcribed and in which nobody speaks: they have no row.
    where : str
        The table, for a message.

    Returns
    -------
    dict of str to list
        The segments of every needed video in the order of the table; none where nobody speaks.

    Raises
    ------
    MissingTranscript
        If a video has no segment and is not known to be without speech: it was never transcribed.
    """
    found: dict[str, list[Mapping[str, Any]]] = {video_id: [] for video_id in video_ids}
    for row in rows:
        if row["video_id"] in found:
            found[row["video_id"]].append(row)
    missing = [video_id for video_id, segments in found.items() if not segments and video_id not in without_speech]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise MissingTranscript(
            where,
            f"no transcript of {', '.join(missing[:_SHOWN])}{more}",
            "segments, or the status that nobody speaks",
            "Transcribe these videos first.",
        )
    return found
