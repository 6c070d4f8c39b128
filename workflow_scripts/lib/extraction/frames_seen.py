"""What the networks of visual features see of videos, or of folders of images."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.encoders.interface import Encoder
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.job import encode_missing
from workflow_scripts.lib.extraction.networks import loaded_once
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.decode import Rows, Taker, check_decoder, decode_frames, frame_rows
from workflow_scripts.lib.media.frame_request import FrameClock, Video
from workflow_scripts.lib.media.image_folder import list_images, read_images
from workflow_scripts.lib.store.shard_job import Computed


class Pictures:
    """The pictures of some videos, as the network of a feature sees them.

    Parameters
    ----------
    settings : content of the feature's settings file
    plan : rows of the sampling plan, by video
    media : rows of the media table, by video; empty where the pictures lie in folders of images

    Attributes
    ----------
    load : gives the network, which is loaded once
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        plan: Mapping[str, Mapping[str, Any]],
        media: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._settings, self._plan, self._media = settings, plan, media
        self.load = loaded_once(settings)
        self._images, self._folder = settings["recipe"].get("images"), Path(settings["folder"])

    def encode(self, missing: Iterable[str], stalls: Stalls) -> Iterator[Computed]:
        """Load the network and yield the rows of these videos; `stalls` is the job's stopwatch."""
        if not self._images:
            check_decoder(self._settings["runtime"]["decoder"], self._settings["ffmpeg"])
        return encode_missing(missing, self._frames, self.load, self._settings["runtime"], stalls, self.times)

    def _frames(self, video_id: str, encoder: Encoder) -> Iterator[np.ndarray]:
        row = self._usable(video_id, encoder)
        if row["frames_per_row"] is None:
            return self._deliver(video_id)(row["frame_idx"])
        return frame_rows(self._deliver(video_id), row["frame_idx"], row["frames_per_row"])

    def _usable(self, video_id: str, encoder: Encoder) -> Mapping[str, Any]:
        """Return the plan of a video that has something for the network."""
        row = self._plan[video_id]
        if row["status"] != "ok":
            raise UserError(row["reason"])
        require_frames(row["frames_per_row"], getattr(encoder, "min_frames", 1))
        return row

    def _deliver(self, video_id: str) -> Callable[[Sequence[int] | np.ndarray], Generator[np.ndarray, None, None]]:
        resize, decoder, ffmpeg = (
            self._settings["recipe"]["resize"],
            self._settings["runtime"]["decoder"],
            self._settings["ffmpeg"],
        )
        if not self._images:
            video = self.video(video_id)
            clock = FrameClock.of_row(self._plan[video_id])
            return lambda positions: decode_frames(video, clock, positions, resize, ffmpeg, decoder)
        frames = list_images(self._folder / video_id, self._images["files"], video_id)
        return lambda positions: read_images(frames, positions, resize)

    def taker(self, video_id: str, encoder: Encoder) -> tuple[Taker, Rows]:
        """Return what the network sees of a video, for a decoder that serves several networks.

        Raises
        ------
        UserError
            the video has nothing for this network
        """
        row = self._usable(video_id, encoder)
        rows = Rows(row["frame_idx"], row["frames_per_row"])
        return Taker(FrameClock.of_row(row), rows.positions, self._settings["recipe"]["resize"]), rows

    def video(self, video_id: str) -> Video:
        """Return the file of a video, with what its probe found."""
        return Video.of_row(self._media[video_id], self._folder)

    def times(self, video_id: str) -> np.ndarray:
        """Return start and end second of the rows of a video, float64 (T, 2)."""
        return np.stack([self._plan[video_id]["start_s"], self._plan[video_id]["end_s"]], axis=1)


def require_frames(frames_per_row: list[int] | None, min_frames: int) -> None:
    """Refuse a video with a window that is too short for the network, before it is decoded.

    Raises
    ------
    UserError
        ends up as the reason why this video has no rows
    """
    shortest = min(frames_per_row or [min_frames])
    if shortest < min_frames:
        raise UserError(f"a window has {shortest} frame(s), the network needs {min_frames}; the video is too short")
