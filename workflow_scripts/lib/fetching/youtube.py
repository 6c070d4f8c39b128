"""Videos of YouTube by their ids, through the program yt-dlp, and a lasting record of those that are gone.

What happened to every video is kept line by line in a record that no rule declares, so that a later call asks neither
for what is there nor for what is gone. Delete a line of it, or all of it, to have these asked for again.
"""

import csv
import io
import json
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import remove_tree, write_text

log = logging.getLogger(__name__)

GONE = re.compile(
    r"private video|removed|no longer available|account associated .* terminated|isn.t available any ?more"
    r"|this video is not available|does not exist|members-only|video unavailable\.?$",
    re.IGNORECASE,
)
"""What yt-dlp says of videos that will not come back; anything else may pass: a refusal, a country, a broken line."""
FAILURES_IN_A_ROW = 10
"""So many passing failures one after the other are no matter of the videos."""
DISK_IS_FULL = "no space left on device"


@dataclass(frozen=True)
class Clip:
    """A video of the dataset and where it is on YouTube.

    Attributes
    ----------
    video_id : str
        Id in the dataset; names the file.
    youtube_id : str
        Eleven characters.
    start_s, end_s : float or None
        Part of the YouTube video that is meant, seconds; None: all of it.
    """

    video_id: str
    youtube_id: str
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a video: `state` is `fetched`, `gone` or `failed`; `reason` is yt-dlp's, `asked` the time (UTC)."""

    video_id: str
    youtube_id: str
    state: Literal["fetched", "gone", "failed"]
    reason: str
    asked: str


@dataclass(frozen=True)
class Program:
    """How yt-dlp is called.

    Attributes
    ----------
    name : str
        Program name or path.
    ffmpeg : str
        ffmpeg for joining picture and sound, used if none is on the PATH.
    height : int
        Largest height that is asked for, pixels.
    """

    name: str
    ffmpeg: str
    height: int


def write_clips(path: Path, clips: Iterable[Clip]) -> None:
    """Write the list of ids, with a header line."""
    write_text(path, _tsv([field.name for field in fields(Clip)], (asdict(clip).values() for clip in clips)))


def read_clips(path: Path) -> list[Clip]:
    """Read a list of ids."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    bounds = ("start_s", "end_s")
    return [
        Clip(row["video_id"], row["youtube_id"], *(float(row[b]) if row[b] else None for b in bounds)) for row in rows
    ]


def write_report(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write which videos are gone or failed, and why."""
    missing = [outcome for outcome in outcomes if outcome.state != "fetched"]
    write_text(path, _tsv([field.name for field in fields(Outcome)], (asdict(outcome).values() for outcome in missing)))


def fetch_clips(
    clips: Sequence[Clip], folder: Path, extensions: Sequence[str], record: Path, program: Program
) -> list[Outcome]:
    """Fetch the videos that are neither in the folder nor known to be gone.

    Parameters
    ----------
    clips : sequence of Clip
        What is wanted.
    folder : Path
        Where the videos go, as `<video_id>.<extension>`.
    extensions : sequence of str
        Extensions of video files.
    record : Path
        What happened to every video so far, one JSON object per line; lines are added.
    program : Program
        How yt-dlp is called.

    Returns
    -------
    list of Outcome
        Of all videos that were ever asked for and are not there, and of those that were fetched now.

    Raises
    ------
    UserError
        yt-dlp is not there, the disk is full, or many videos in a row failed for a reason that may pass.
    """
    outcomes = _read_record(record)
    present = _present(folder, extensions)
    wanted = [c for c in clips if c.video_id not in present and not _is_gone(outcomes.get(c.video_id))]
    if wanted and shutil.which(program.name) is None:
        raise UserError(_without_program(program, len(wanted)))
    folder.mkdir(parents=True, exist_ok=True)
    record.parent.mkdir(parents=True, exist_ok=True)
    staging = folder.with_name(f"{folder.name}.fetching")
    in_a_row = 0
    with record.open("a", encoding="utf-8") as lines, tempfile.TemporaryDirectory() as programs:
        environment = _with_ffmpeg(program.ffmpeg, Path(programs))
        if lines.tell():
            # A line that a kill cut off must not swallow the next one; blank lines are passed over.
            lines.write("\n")
        for clip in tqdm(wanted, desc="YouTube", unit="video", mininterval=1):
            outcome = _fetch_clip(clip, folder, staging, program, environment)
            outcomes[clip.video_id] = outcome
            lines.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
            lines.flush()
            in_a_row = in_a_row + 1 if outcome.state == "failed" else 0
            if in_a_row == min(FAILURES_IN_A_ROW, len(wanted)) and in_a_row > 1:
                raise UserError(
                    f"{in_a_row} videos in a row could not be fetched, the last one because: {outcome.reason}. What is "
                    "there is kept; run again later. yt-dlp takes a login, a proxy or pauses from its own settings file"
                )
    remove_tree(staging)
    counts = Counter(outcomes[clip.video_id].state for clip in wanted)
    log.info(
        "%d videos: %d were there, %d fetched, %d gone, %d failed; %d were known to be gone",
        len(clips),
        sum(clip.video_id in present for clip in clips),
        counts["fetched"],
        counts["gone"],
        counts["failed"],
        sum(clip.video_id not in present for clip in clips) - len(wanted),
    )
    return [outcomes[clip.video_id] for clip in clips if clip.video_id in outcomes and clip.video_id not in present]


def _present(folder: Path, extensions: Sequence[str]) -> set[str]:
    """Return the ids of the videos in a folder."""
    if not folder.is_dir():
        return set()
    endings = tuple(f".{extension}" for extension in extensions)
    return {path.name[: path.name.rindex(".")] for path in folder.iterdir() if path.name.endswith(endings)}


def _is_gone(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.state == "gone"


def _read_record(path: Path) -> dict[str, Outcome]:
    """Return the last outcome of every video; a line that was cut off by a kill is passed over."""
    outcomes = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            outcome = Outcome(**json.loads(line))
        except (json.JSONDecodeError, TypeError):
            continue
        outcomes[outcome.video_id] = outcome
    return outcomes


def _fetch_clip(clip: Clip, folder: Path, staging: Path, program: Program, environment: dict[str, str]) -> Outcome:
    """Fetch one video aside and rename it into place."""
    remove_tree(staging)
    staging.mkdir()
    command = [program.name, "--no-playlist", "--no-progress", "--format-sort", f"res:{program.height},ext:mp4:m4a"]
    command += ["--merge-output-format", "mp4", "--remux-video", "mp4", "--output", str(staging / "video.%(ext)s")]
    if clip.start_s is not None and clip.end_s is not None:
        command += ["--download-sections", f"*{clip.start_s}-{clip.end_s}", "--force-keyframes-at-cuts"]
    command += ["--", f"https://www.youtube.com/watch?v={clip.youtube_id}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    video = staging / "video.mp4"
    if done.returncode == 0 and video.is_file():
        video.replace(folder / f"{clip.video_id}.mp4")
        return _outcome(clip, "fetched", "")
    reason = _reason(done)
    if DISK_IS_FULL in done.stderr.lower():
        raise UserError(f"no disk space left while fetching videos into {folder}. Free some space and run again")
    return _outcome(clip, "gone" if GONE.search(reason) else "failed", reason)


def _outcome(clip: Clip, state: Literal["fetched", "gone", "failed"], reason: str) -> Outcome:
    asked = datetime.now(UTC).isoformat(timespec="seconds")
    return Outcome(clip.video_id, clip.youtube_id, state, reason, asked)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last error of yt-dlp on one line, without its own prefix and the id."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:] or ["it wrote no mp4 file"]
    return re.sub(r"^ERROR:\s*(\[\w+\]\s*)?([\w-]{11}:\s*)?", "", errors[-1]).replace("\t", " ")


def _with_ffmpeg(ffmpeg: str, folder: Path) -> dict[str, str]:
    """Return the environment in which yt-dlp finds an ffmpeg; it knows the program by its name only."""
    if shutil.which("ffmpeg"):
        return dict(os.environ)
    (folder / "ffmpeg").symlink_to(ffmpeg)
    return os.environ | {"PATH": f"{os.environ['PATH']}{os.pathsep}{folder}"}


def _without_program(program: Program, n_wanted: int) -> str:
    return (
        f"{n_wanted} videos are to be fetched from YouTube, and there is no program {program.name!r}. Install yt-dlp "
        "(`pip install yt-dlp` in any environment), or set `paths.yt_dlp` to where it is, or put the videos that you "
        "have into the folder by hand"
    )


def _tsv(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
    writer.writerow(header)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return text.getvalue()
