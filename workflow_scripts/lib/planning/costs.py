"""Rough costs of features that are not there yet: disk space and hours of this machine."""

import os

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.planning.dataset_plan import Datasets
from workflow_scripts.lib.planning.devices import has_gpu
from workflow_scripts.lib.planning.feature_costs import bytes_needed, hours_needed, hours_text
from workflow_scripts.lib.planning.sizes import readable_size

LARGE_DISK = 10e9
"""Bytes from which the disk space is told although there is enough."""


class Costs:
    """What features cost that are computed for targets.

    Parameters
    ----------
    computed : dataset and name of every feature
    """

    def __init__(self, configuration: Configuration, datasets: Datasets, computed: list[tuple[str, str]]) -> None:
        self._configuration, self._datasets = configuration, datasets
        known = [
            each
            for each in computed
            if not configuration.dataset(each[0]).generate and datasets.has_annotations(each[0])
        ]
        self._features = {each: configuration.feature(*each) for each in known}

    def disk_lines(self, fetched: int, free: int) -> list[str]:
        """Return a line about the disk space, if much is needed or there is too little.

        Parameters
        ----------
        fetched : bytes of what is downloaded
        free : bytes of the disk
        """
        stores = {name: self._bytes(*name) for name in self._features}
        needed = fetched + sum(stores.values())
        if needed < min(LARGE_DISK, free):
            return []
        largest = [(size, name) for name, size in stores.items() if size > needed / 10]
        parts = [f"{name[1]} of {name[0]} {readable_size(size)}" for size, name in sorted(largest, reverse=True)]
        parts += [f"downloads {readable_size(fetched)}"] if fetched > needed / 10 else []
        warning = "; THIS IS NOT ENOUGH" if needed > free else ""
        return [
            f"disk: up to {readable_size(needed)} before compression ({', '.join(parts)}), free are "
            f"{readable_size(free)}{warning}"
        ]

    def time_lines(self) -> list[str]:
        """Return a line about the hours of extraction, if anything is known of them."""
        hours = {name: self._hours(*name) for name in self._features}
        total = sum(hours.values())
        if total < 0.1:
            return []
        parts = [f"{name[1]} {hours_text(each)}" for name, each in sorted(hours.items()) if each > total / 20]
        who = "a GPU" if self._has_gpu() else f"{os.cpu_count()} cores"
        return [f"extraction: very roughly {hours_text(total)} with {who} ({', '.join(parts)}); training comes on top"]

    def _bytes(self, dataset: str, name: str) -> float:
        n_videos = len(self._datasets.video_ids(dataset))
        return bytes_needed(self._features[dataset, name], self._datasets.hours(dataset), n_videos)

    def _hours(self, dataset: str, name: str) -> float:
        return hours_needed(self._features[dataset, name], self._datasets.hours(dataset), self._has_gpu())

    def _has_gpu(self) -> bool:
        return has_gpu(self._configuration.root.device)
