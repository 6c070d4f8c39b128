"""What the rules ask about visual features whose frames lie as numbered images in folders."""

from pathlib import Path
from typing import Any

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.datasets.video_folder import stat_signature
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning import missing_files
from workflow_scripts.lib.planning.dataset_plan import Datasets
from workflow_scripts.lib.planning.downloads import Downloads
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.shards import read_shard_list
from workflow_scripts.lib.versions import versions_of


class ImageFolders:
    """The folders of images."""

    def __init__(self, configuration: Configuration, downloads: Downloads, datasets: Datasets) -> None:
        self._configuration, self._downloads, self._datasets = configuration, downloads, datasets

    def sampled_images(self, dataset: str, feature: str) -> dict[str, Any]:
        """Return where a feature's images are, how they are called and how they are sampled.

        Raises
        ------
        UserError
            the feature's frames come from the videos
        """
        described = self._configuration.feature(dataset, feature)
        if not getattr(described, "images", None):
            raise UserError(f"config/features/{feature}.yaml: its frames come from the videos, it names no `images`")
        settings = {name: getattr(described, name).model_dump(mode="json") for name in ("images", "sampling")}
        return settings | {"versions": versions_of(["images", f"sampling/{described.sampling.rule}"])}

    def folders(self, dataset: str, feature: str, shard: str) -> str:
        """Return what `stat` tells of the image folders of a shard.

        Raises
        ------
        UserError
            there is no folder for any video of the dataset
        """
        described = self._configuration.feature(dataset, feature)
        path = Path(described.images.path) if getattr(described, "images", None) else Path()

        def found(shard: str) -> list[Path]:
            ids = read_shard_list(self._datasets.shard_list(dataset, shard))
            return [path / video_id for video_id in ids if (path / video_id).is_dir()]

        folders = found(shard)
        if not folders and not any(map(found, self._datasets.shards(dataset))):
            hint = self._downloads.how_to_fetch(dataset, str(path))
            raise UserError(f"{missing_files.image_folders(feature, path)}{hint}")
        return digest_json([stat_signature(folder) for folder in folders])
