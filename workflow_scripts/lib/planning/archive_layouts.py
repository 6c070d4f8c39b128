"""What has to be in an archive, by those who read the folder that it is unpacked into."""

from pathlib import PurePosixPath

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.schema import Download

ONE_FOR_ALL = ("pickle_dict", "lmdb")
"""Layouts of features whose `path` is one file or store for all videos."""


def expected_inside(configuration: Configuration, dataset: str, download: Download) -> list[str]:
    """Return patterns of the files that an archive of a dataset has to hold; none if nothing here reads them.

    Parameters
    ----------
    download : Download
        One that is unpacked.
    """
    folder = PurePosixPath(download.to)
    inside = []
    for name in configuration.known("features"):
        if configuration.is_imported(name):
            feature = configuration.feature(dataset, name)
            path = PurePosixPath(feature.path)
            if path.is_relative_to(folder):
                is_one = feature.layout in ONE_FOR_ALL or (feature.layout == "hdf5" and path.suffix)
                inside.append(str(path.relative_to(folder) / ("" if is_one else feature.id_pattern)))
    if configuration.dataset(dataset).videos == download.to:
        inside.append(f"{{video_id}}.{configuration.dataset(dataset).extensions[0]}")
    return sorted(set(inside))
