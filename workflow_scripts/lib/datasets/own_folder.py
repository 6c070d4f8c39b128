"""A look at a folder of videos before it becomes a dataset: what is in it, in words."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.lib.datasets.readers import read_annotations
from workflow_scripts.lib.datasets.video_folder import AnnotatedVideos, list_videos, located, other_files, videos_in
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.survey import Located, Survey, survey_videos
from workflow_scripts.lib.media.video_files import composed
from workflow_scripts.lib.store.item_ids import is_usable

_SHOWN = 3


@dataclass(frozen=True)
class OwnFolder:
    """What was found in a folder.

    Attributes
    ----------
    folder : Path
    surveys : list of Survey
        Of every video.
    others : dict of str to int
        Kinds of the other files, each with their number, the most frequent first.
    """

    folder: Path
    surveys: list[Survey]
    others: Mapping[str, int]

    @property
    def usable(self) -> list[Survey]:
        """Return the videos with which nothing is wrong."""
        return [survey for survey in self.surveys if survey.info.status == "ok"]

    @property
    def hours(self) -> float:
        """Return the hours of all usable videos."""
        return sum(survey.info.duration_s or 0.0 for survey in self.usable) / 3600

    @property
    def hours_of_sound(self) -> float:
        """Return the hours of all usable videos with sound."""
        return sum(survey.info.duration_s or 0.0 for survey in self.usable if survey.info.n_audio_streams) / 3600


def require_folder_of_videos(folder: Path) -> Path:
    """Return a folder as an absolute path.

    Raises
    ------
    UserError
        there is none, its name cannot stand in a file, or results would be written among the videos
    """
    folder = folder.resolve()
    if folder.is_file():
        raise UserError(f"{folder}: is a file; name the folder that it lies in, {folder.parent}")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one that holds the videos")
    if not is_usable(str(folder).strip("/")):
        raise UserError(f"{str(folder)!a}: cannot be written down; expected a path in UTF-8 without line break")
    if Path.cwd().is_relative_to(folder):
        raise UserError(f"{folder}: results would be written among the videos; start this in another folder")
    return folder


def look_into(folder: Path, extensions: Sequence[str], jobs: int) -> OwnFolder:
    """List and probe all videos of a folder.

    Parameters
    ----------
    folder, extensions : as of `VideoFiles`
    jobs : number of threads

    Raises
    ------
    UserError
        there is no such folder, no video in it, none that can be used, or names cannot be ids
    """
    entries = list_videos(folder, extensions, videos_in(folder, extensions))
    surveys = survey_videos(folder, located(folder, extensions, entries), jobs)
    found = OwnFolder(folder, surveys, other_files(folder, {survey.path for survey in surveys}))
    if not found.usable:
        raise UserError(f"{folder}: no video in it can be used: {'; '.join(_bad(surveys))}")
    return found


def folder_lines(found: OwnFolder, size_text: str) -> list[str]:
    """Return what is in a folder, a line each.

    Parameters
    ----------
    size_text : bytes of its videos, for people
    """
    surveys, usable = found.surveys, found.usable
    silent = sum(not survey.info.n_audio_streams for survey in usable)
    sound = f"{len(usable) - silent} with sound, {silent} without" if silent else "all with sound"
    lines = [
        f"{found.folder}: {_counted(len(surveys), 'video')}, {duration_text(found.hours)}, {size_text}; {sound}",
        f"  {'; '.join(_names(surveys))}",
        f"  {_pictures(usable)}",
    ]
    if found.others:
        lines.append(f"  {_counted(sum(found.others.values()), 'other file')}, not looked at: {_counts(found.others)}")
    bad = [survey for survey in surveys if survey.info.status != "ok"]
    if bad:
        lines += [f"  {len(bad)} cannot be used and will be left out:", *_indented(_bad(bad))]
    return lines


def _names(surveys: Sequence[Survey]) -> Iterator[str]:
    yield _counts(Counter(Path(survey.path).suffix.lower() for survey in surveys))
    below = sum("/" in survey.path for survey in surveys)
    if below:
        yield f"{below} in subfolders"
    doubled = sum(survey.video_id == composed(survey.path) for survey in surveys)
    if doubled:
        yield f"{doubled} share their names and keep the extension in their ids"


def _pictures(usable: Sequence[Survey]) -> str:
    low, high = (extreme(survey.info.height for survey in usable) for extreme in (min, max))
    longest = max(usable, key=lambda survey: survey.info.duration_s or 0.0)
    length = duration_text((longest.info.duration_s or 0.0) / 3600)
    return f"pictures of {low}{f' to {high}' if high > low else ''} lines; the longest video: {longest.path}, {length}"


def _bad(surveys: Sequence[Survey]) -> list[str]:
    return _first([f"{survey.path}: {survey.info.status} ({survey.info.reason})" for survey in surveys])


def _first(items: Sequence[str]) -> list[str]:
    return [*items[:_SHOWN], *([f"and {len(items) - _SHOWN} more"] if len(items) > _SHOWN else [])]


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _indented(items: Sequence[str]) -> list[str]:
    return [f"     {item}" for item in items]


def _counts(kinds: Mapping[str, int]) -> str:
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    more = [f"{sum(count for _, count in ordered[5:])} others"] if len(ordered) > 5 else []
    return ", ".join([*(f"{count} {kind}" for kind, count in ordered[:5]), *more])


def duration_text(hours: float) -> str:
    """Return a duration for people."""
    if hours >= 1:
        return f"{hours:.1f} hours"
    return f"{hours * 60:.0f} minutes" if hours >= 1 / 30 else f"{hours * 3600:.0f} seconds"


@dataclass(frozen=True)
class OwnQueries:
    """What a list of queries says, and which of its videos are there.

    Attributes
    ----------
    file : Path
    n_queries, n_moments : int
    splits : list of str
        In order.
    videos : dict of str to Located
        What the list calls a video -> its file.
    """

    file: Path
    n_queries: int
    n_moments: int
    splits: list[str]
    videos: Mapping[str, Located]


def look_at_queries(file: Path, folder: Path, extensions: Sequence[str]) -> OwnQueries:
    """Read a list of queries and look for its videos.

    Raises
    ------
    UserError
        it cannot be read, or none of its videos is there
    """
    annotations = read_annotations("plain", {"test": file}, "own")
    asked = AnnotatedVideos.of(annotations)
    entries = list_videos(folder, extensions, asked.ids, asked.named)
    names = [name or video_id for name, video_id in zip(asked.named, asked.ids, strict=True)]
    videos = dict(zip(names, located(folder, extensions, entries).values(), strict=True))
    found = OwnQueries(file, len(annotations.queries), len(annotations.moments), asked.splits, videos)
    if not any(place.path for place in found.videos.values()):
        raise UserError(f"{file}: none of its {len(found.videos)} videos is in {folder}: {'; '.join(_lost(found))}")
    return found


def query_lines(queries: OwnQueries) -> list[str]:
    """Return what is in a list of queries, a line each."""
    there = sum(place.path is not None for place in queries.videos.values())
    splits = ", ".join(queries.splits)
    lines = [
        f"{queries.file}: queries: {queries.n_queries}, with {_counted(queries.n_moments, 'moment')}, about "
        f"{_counted(there, 'video')}; splits: {splits}"
    ]
    if there < len(queries.videos):
        lines += [f"  {len(queries.videos) - there} of its videos are not there:", *_indented(_lost(queries))]
    return lines


def _lost(queries: OwnQueries) -> list[str]:
    return _first([f"{name}: {place.reason}" for name, place in queries.videos.items() if place.path is None])
