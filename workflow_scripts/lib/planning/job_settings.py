"""The settings files of jobs about annotations, videos, images and downloads.

What a rule runs gets them from a file, so that no path and no text of a user goes through the shell. Such a file holds
what decides its job's output, and of downloads also the mirror and words for messages, which do not; the digest of what
decides is the `key` in the rule's `params`, so that the job runs again if one of these settings changes.
"""

from collections.abc import Callable, Collection
from typing import Any

from workflow_scripts.lib.fetching.source import FILE_SETTINGS, FOLDER_SETTINGS
from workflow_scripts.lib.planning.dataset_plan import Datasets
from workflow_scripts.lib.planning.downloads import Downloads
from workflow_scripts.lib.planning.feature_plan import Features
from workflow_scripts.lib.planning.images import ImageFolders
from workflow_scripts.lib.planning.planned_files import PlannedFiles
from workflow_scripts.lib.store.settings_files import settings_key

DECISIVE: dict[str, Collection[str]] = {
    "fetch_folder": FOLDER_SETTINGS,
    "fetch_annotations": FILE_SETTINGS,
    "fetch_weights": FILE_SETTINGS,
}
"""Rule -> which of its settings decide what it makes; of all other rules all do."""


class JobSettings:
    """Settings by rule; the further arguments are the names that tell a rule's jobs apart."""

    def __init__(
        self, files: PlannedFiles, datasets: Datasets, features: Features, images: ImageFolders, downloads: Downloads
    ) -> None:
        self._files = files
        annotations = ("{dataset}/annotations/settings.json", datasets.annotation_source)
        self._of_rule: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
            "make_demo": ("{dataset}/source/settings.json", datasets.generator),
            "check_annotations": annotations,
            "import_annotations": annotations,
            "probe_media": ("{dataset}/media/settings.json", datasets.video_files),
            "sample_frames": ("{dataset}/frames/{sampling}/settings.json", features.sampled_frames),
            "sample_images": ("{dataset}/images/{feature}/settings.json", images.sampled_images),
            "list_youtube": ("{dataset}/youtube/ids.settings.json", datasets.annotation_files_by_split),
            "fetch_youtube": ("{dataset}/youtube/missing.settings.json", downloads.youtube),
            "fetch_folder": ("{dataset}/fetched/{download}.settings.json", downloads.archive),
            "fetch_annotations": ("{dataset}/fetched/{download}.settings.json", downloads.single_file),
            "fetch_weights": ("weights/{weights}.settings.json", downloads.weights_file),
        }

    def file(self, rule: str, **names: str) -> str:
        """Return the settings file of a job, brought up to date.

        Raises
        ------
        UserError
            there is no such dataset, feature, sampling or download
        """
        place, content = self._of_rule[rule]
        return self._files.settings(place.format(**names), lambda: content(**names))

    def key(self, rule: str, **names: str) -> str:
        """Return the digest of a job's settings: it runs again exactly if it changes, inputs apart."""
        return settings_key(self._of_rule[rule][1](**names), DECISIVE.get(rule))
