"""What the networks of audio features hear of videos."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.encoders.interface import Encoder
from workflow_scripts.lib.extraction.job import encode_missing
from workflow_scripts.lib.extraction.networks import loaded_once
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.audio import NoAudioStream, read_audio, windows
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe
from workflow_scripts.lib.store.shard_job import Computed


class Sounds:
    """The sound of some videos, as the network of a feature hears it.

    Parameters
    ----------
    settings : content of the feature's settings file
    media : rows of the media table, by video
    """

    def __init__(self, settings: Mapping[str, Any], media: Mapping[str, Mapping[str, Any]]) -> None:
        self._settings, self._media = settings, media
        self._load = loaded_once(settings)
        self._times: dict[str, np.ndarray] = {}
        self._silent: set[str] = set()

    def encode(self, missing: Iterable[str], stalls: Stalls) -> Iterator[Computed]:
        """Load the network and yield the rows of these videos; `stalls` is the job's stopwatch."""
        ffmpeg_exe(self._settings["ffmpeg"])
        return encode_missing(
            missing,
            self._windows,
            self._load,
            self._settings["runtime"],
            stalls,
            self._times.__getitem__,
            self._status,
        )

    def _windows(self, video_id: str, _: Encoder) -> Iterator[np.ndarray]:
        recipe, row = self._settings["recipe"], self._media[video_id]
        rate, path = recipe["sample_rate"], Path(self._settings["folder"]) / row["path"]
        try:
            wave = read_audio(path, rate, self._settings["ffmpeg"], recipe["resampler"], recipe.get("channels", "mono"))
        except NoAudioStream:
            self._silent.add(video_id)
            self._times[video_id] = np.zeros((0, 2))
            return
        if recipe["window"] is None:
            self._times[video_id] = np.array([[0.0, wave.shape[-1] / rate]])
            yield wave
            return
        cuts, self._times[video_id] = windows(wave, rate, duration_s=row["duration_s"], **recipe["window"])
        yield from cuts

    def _status(self, video_id: str) -> str:
        return "no_audio" if video_id in self._silent else "ok"
