"""What the rules ask about things that are published elsewhere: files, archives, videos of YouTube, weights."""

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.messages import nearest
from workflow_scripts.lib.configuration.schema import Download, Published
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.settings import weight_path
from workflow_scripts.lib.fetching.source import Source, by_hand
from workflow_scripts.lib.planning.needs import data_needed, weights_needed
from workflow_scripts.lib.planning.planned_files import RESULTS, PlannedFiles


class Downloads:
    """What can be fetched, and how.

    Parameters
    ----------
    fetch_first : called with a file that has to be fetched before more can be planned; it does not return
    """

    def __init__(
        self, configuration: Configuration, files: PlannedFiles, fetch_first: Callable[[str], None] | None
    ) -> None:
        self._configuration, self._files = configuration, files
        self._fetch_first = fetch_first or _fetch_by_hand

    def single_files(self) -> list[str]:
        """Return the places of all single files that can be fetched."""
        return sorted(self._configuration.single_downloads())

    def source_of_file(self, path: str) -> str:
        """Return where a single file is published, as JSON."""
        return _source_json(self._single_download(path))

    def require(self, path: Path) -> None:
        """Have a file fetched that is not there and can be."""
        if not path.is_file() and str(path) in self._configuration.single_downloads():
            download = self._single_download(str(path))
            if download.url is None:
                raise UserError(by_hand(_source(download), path))
            self._fetch_first(str(path))

    def _single_download(self, path: str) -> Download:
        dataset, name = self._configuration.single_downloads()[path]
        return self._configuration.dataset(dataset).downloads[name]

    def folder_arguments(self, dataset: str, name: str) -> str:
        """Return the command-line arguments that fetch an archive into its folder.

        Raises
        ------
        UserError
            the dataset has no such archive
        """
        downloads = {key: each for key, each in self._configuration.dataset(dataset).downloads.items() if each.unpack}
        if name not in downloads:
            raise UserError(
                f"config/datasets/{dataset}.yaml: downloads: no archive {name!r}; {nearest(name, downloads)}"
            )
        download = downloads[name]
        return (
            f"--source {shlex.quote(_source_json(download))} --archive {shlex.quote(download.archive_name)}"
            f" --folder {shlex.quote(download.to)} --layout {download.unpack}"
        )

    def how_to_fetch(self, name: str, place: str) -> str:
        """Return the end of a message about a folder that is not there: the target that fetches it, if there is one."""
        configuration = self._configuration
        hints = [
            _hint(f"snakemake --cores 1 {RESULTS}/{owner}/fetched/{key}.json", download)
            for owner in dict.fromkeys((name, *configuration.known("datasets")))
            for key, download in configuration.dataset(owner).downloads.items()
            if download.unpack and Path(place).is_relative_to(download.to)
        ]
        dataset = configuration.dataset(name)
        if not hints and dataset.on_youtube and place == dataset.videos:
            return f"; `snakemake --cores 1 {RESULTS}/{name}/youtube/missing.tsv` fetches what YouTube still has"
        return hints[0] if hints else ""

    def youtube_arguments(self, dataset: str) -> str:
        """Return the command-line arguments that fetch the videos of a dataset from YouTube.

        Raises
        ------
        UserError
            the dataset's videos are not on YouTube
        """
        found, root = self._configuration.dataset(dataset), self._configuration.root
        if not found.on_youtube:
            raise UserError(
                f"config/datasets/{dataset}.yaml: its videos are not on YouTube; `on_youtube: true` says so"
            )
        ffmpeg = f" --ffmpeg {shlex.quote(root.paths.ffmpeg)}" if root.paths.ffmpeg else ""
        return (
            f"--videos {shlex.quote(found.videos)} --extensions {','.join(found.extensions)}"
            f" --program {shlex.quote(root.paths.yt_dlp)} --height {root.youtube_height}{ffmpeg}"
        )

    def weights_folder(self) -> str:
        """Return the folder of downloaded weights."""
        return self._configuration.root.paths.weights

    def present_weights(self) -> list[Path]:
        """Return all weights files that are there, whoever put them there."""
        folder = Path(self.weights_folder())
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def source_of_weights(self, file: str) -> str:
        """Return where a weights file is published, as JSON.

        Raises
        ------
        UserError
            no entry of config/weights.yaml has this file name
        """
        for name in self._configuration.weight_names():
            weight = self._configuration.weight(name)
            if weight.file == file and weight.url:
                return _source_json(weight)
            if weight.file == file and weight.source:
                place = weight_path(weight, self.weights_folder())
                raise UserError(f"weights {name!r} are not at {place}. Put the file there: {weight.source}")
        raise UserError(f"config/weights.yaml: no entry that can be downloaded has the file name {file!r}")

    def listing(self, kind: str) -> str:
        """Return a file that lists published `weights` or `data`: all, or what the target `needed_by` needs."""
        needed = weights_needed if kind == "weights" else data_needed
        return self._files.bring_up_to_date(
            RESULTS / f"{kind}.json", lambda: [asdict(row) for row in needed(self._configuration)]
        )


def _fetch_by_hand(path: str) -> None:
    raise UserError(f"{path}: no such file; `snakemake --cores 1 {path}` fetches it")


def _hint(command: str, download: Download) -> str:
    if download.url:
        return f"; `{command}` fetches {download.archive_name} (licence: {download.licence})"
    return (
        f"; get them from {download.page} (licence: {download.licence}). `{command}` unpacks an archive "
        f"that you put at {download.archive_place}"
    )


def _source(published: Published) -> Source:
    return Source(**published.model_dump(include={field.name for field in fields(Source)}))


def _source_json(published: Published) -> str:
    return json.dumps(asdict(_source(published)), sort_keys=True)
