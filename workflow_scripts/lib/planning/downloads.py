"""What the rules ask about things that are published elsewhere: files, archives, videos of YouTube, weights."""

import os
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.messages import nearest
from workflow_scripts.lib.configuration.schema import Download, Published
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.settings import weight_path
from workflow_scripts.lib.fetching.mirrors import all_mirrors, mirror_of
from workflow_scripts.lib.fetching.misplaced import misplaced
from workflow_scripts.lib.fetching.source import Source, by_hand, inside_words
from workflow_scripts.lib.planning.archive_layouts import expected_inside
from workflow_scripts.lib.planning.planned_files import RESULTS

COMMAND = "snakemake --cores 1"
"""How a single target is asked for."""

SHOWN = 5
"""So many names of a folder stand in a message."""


class Downloads:
    """What can be fetched, and how.

    Parameters
    ----------
    fetch_first : called with a file that has to be fetched before more can be planned; it does not return
    """

    def __init__(self, configuration: Configuration, fetch_first: Callable[[str], None] | None) -> None:
        self._configuration = configuration
        self._fetch_first = fetch_first or _fetch_by_hand

    def single_files(self) -> list[str]:
        """Return the places of all single files that can be fetched."""
        return sorted(self._configuration.single_downloads())

    def named(self, path: str) -> dict[str, str]:
        """Return the dataset and the name under which it states a single file."""
        dataset, name = self._configuration.single_downloads()[path]
        return {"dataset": dataset, "download": name}

    def single_file(self, dataset: str, download: str) -> dict[str, Any]:
        """Return where a single file is published."""
        return self._source_settings(self._configuration.dataset(dataset).downloads[download])

    def require(self, path: Path) -> None:
        """Have a file fetched that is not there and can be."""
        if not path.is_file() and str(path) in self._configuration.single_downloads():
            dataset, name = self._configuration.single_downloads()[str(path)]
            download = self._configuration.dataset(dataset).downloads[name]
            if download.url is None:
                raise UserError(by_hand(_source(download), path))
            self._fetch_first(str(path))

    def archive(self, dataset: str, download: str) -> dict[str, Any]:
        """Return where an archive is published and how its content goes into its folder.

        Raises
        ------
        UserError
            the dataset has no such archive
        """
        downloads = {key: each for key, each in self._configuration.dataset(dataset).downloads.items() if each.unpack}
        if download not in downloads:
            raise UserError(
                f"config/datasets/{dataset}.yaml: downloads: no archive {download!r}; {nearest(download, downloads)}"
            )
        found = downloads[download]
        place = {"archive": found.archive_name, "folder": found.to, "layout": found.unpack}
        inside = expected_inside(self._configuration, dataset, found)
        return self._source_settings(found) | place | {"inside": inside}

    def how_to_fetch(self, name: str, place: str) -> str:
        """Return the end of a message about a folder that is not there: the target that fetches it, if there is one."""
        return "".join(f"; {way}" for way in self.ways_to_fetch(name, place)[:1])

    def ways_to_fetch(self, name: str, place: str) -> list[str]:
        """Return the ways to get a folder that is not there, a sentence each; the first is the best."""
        ways = [
            _hint(owner, key, download, expected_inside(self._configuration, owner, download))
            for owner, key, download in self.archives_for(name, place)
        ]
        dataset = self._configuration.dataset(name)
        if dataset.on_youtube and place == dataset.videos:
            ways.append(f"`{COMMAND} {RESULTS}/{name}/youtube/missing.tsv` fetches what YouTube still has")
        return ways

    def archives_for(self, name: str, place: str) -> list[tuple[str, str, Download]]:
        """Return dataset, name and description of the archives whose content goes to a place, those of `name` first.

        Either into a folder that holds the place, or into a folder of their own below it.
        """
        configuration = self._configuration
        # A dataset that extends another offers the same again.
        found: dict[tuple[str | None, str], tuple[str, str, Download]] = {}
        for owner in dict.fromkeys((name, *configuration.known("datasets"))):
            for key, download in configuration.downloads_of(owner).items():
                is_there = Path(place).is_relative_to(download.to) or Path(download.to).is_relative_to(place)
                if download.unpack and is_there:
                    found.setdefault((download.url or download.page, download.to), (owner, key, download))
        return list(found.values())

    def youtube(self, dataset: str) -> dict[str, Any]:
        """Return how the videos of a dataset are fetched from YouTube.

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
        return {
            "videos": found.videos,
            "extensions": list(found.extensions),
            "height": root.youtube_height,
            "program": root.paths.yt_dlp,
            "ffmpeg": root.paths.ffmpeg,
        }

    def weights_folder(self) -> str:
        """Return the folder of downloaded weights."""
        return self._configuration.root.paths.weights

    def present_weights(self) -> list[Path]:
        """Return all weights files that are there, whoever put them there."""
        folder = Path(self.weights_folder())
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def fitted_weights(self) -> list[str]:
        """Return the names of all weights files that are fitted here, on rows of a feature."""
        weights = map(self._configuration.weight, self._configuration.weight_names())
        return [weight.file for weight in weights if weight.fitted_on]

    def weights_named(self, file: str) -> str:
        """Return the entry of config/weights.yaml whose file can be downloaded under a name.

        Raises
        ------
        UserError
            no entry has this file name, or a person has to get the file
        """
        for name in self._configuration.weight_names():
            weight = self._configuration.weight(name)
            if weight.place == file and weight.url:
                return name
            if weight.place == file and weight.source:
                place = weight_path(weight, self.weights_folder())
                found = misplaced(place, weight.size)
                raise UserError(f"weights {name!r} are not at {place}. Put the file there: {weight.source}{found}")
        raise UserError(f"config/weights.yaml: no entry that can be downloaded has the file name {file!r}")

    def weights_file(self, weights: str) -> dict[str, Any]:
        """Return where a weights file is published."""
        return self._source_settings(self._configuration.weight(weights))

    def _source_settings(self, published: Published) -> dict[str, Any]:
        mirrors = all_mirrors(self._configuration.root.mirrors, os.environ)
        return {"source": asdict(_source(published)), "mirror": mirror_of(published.url, mirrors)}


def _fetch_by_hand(path: str) -> None:
    raise UserError(f"{path}: no such file; `snakemake --cores 1 {path}` fetches it")


def _hint(dataset: str, key: str, download: Download, inside: list[str]) -> str:
    folder, command = Path(download.to), f"{COMMAND} {RESULTS}/{dataset}/fetched/{key}.json"
    if folder.is_dir() and any(folder.iterdir()):
        here = ", ".join(sorted(path.name for path in folder.iterdir())[:SHOWN])
        return f"{folder} is there with {here}, expected {', '.join(inside) or 'other files'}"
    if download.url:
        return f"`{command}` fetches {download.archive_name} (licence: {download.licence})"
    place = Path(download.archive_place)
    return (
        f"get them from {download.page} (licence: {download.licence}). `{command}` unpacks an archive "
        f"that you put at {place}{inside_words(inside)}{misplaced(place, download.size)}"
    )


def _source(published: Published) -> Source:
    return Source(**published.model_dump(include={field.name for field in fields(Source)}))
