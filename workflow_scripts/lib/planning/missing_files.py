"""What is said about files that a person has to bring, before any job and by the job graph alike."""

from pathlib import Path


def feature_files(feature: str, path: Path) -> str:
    """Return what is wrong with the place of published feature files, and the remedy."""
    what = "is empty" if path.is_dir() else "does not exist"
    return f"config/features/{feature}.yaml: path: {path} {what}; put the feature files there"


def image_folders(feature: str, path: Path) -> str:
    """Return the same for folders of images."""
    where = f"config/features/{feature}.yaml: images.path"
    return f"{where}: {path} holds no folder that is called as a video; put the folders of images there"


def published_checkpoint(dataset: str, system: str, file: str) -> str:
    """Return the same for a published checkpoint."""
    where = f"system {system} on {dataset}: checkpoint_file"
    return f"{where}: {file} does not exist; put the published checkpoint there, or remove the key to train"


def prediction_file(dataset: str, name: str, path: Path) -> str:
    """Return the same for predictions that somebody brings."""
    return f"{path}: no such prediction file; correct external.{name}.file of dataset {dataset!r}"


def query_sounds(dataset: str, folder: str | None) -> str:
    """Return the same for the sound files of spoken queries."""
    where = f"config/datasets/{dataset}.yaml: query_audio"
    if folder is None:
        return f"{where}: name the folder of the spoken queries"
    return f"{where}: {folder} is no folder; put the files there"
