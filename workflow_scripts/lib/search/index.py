"""The rows of a dataset's videos for one source, and what was noted of them: so that nothing is made twice."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.systems.interface import FeatureRows
from models.systems.zero_shot.corpus import Corpus, least_score
from models.systems.zero_shot.unrelated import SENTENCES
from workflow_scripts.lib.configuration.schema import Dataset
from workflow_scripts.lib.datasets.video_folder import list_videos, located, stat_signature, videos_in
from workflow_scripts.lib.search.compared import Compared
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.feature_store import FeatureStore

Encode = Callable[[list[str]], np.ndarray]


class SearchIndex:
    """What can be searched.

    Parameters
    ----------
    results : folder of the results of the dataset

    Attributes
    ----------
    files : dict of str to str
        The file of each video, below the folder.
    """

    def __init__(self, results: Path, dataset: Dataset, source: Compared) -> None:
        self._source, self._note = source, results / "search" / f"{source.system}.json"
        self._store = results / "features" / source.feature
        folder, extensions = Path(dataset.videos), dataset.extensions
        listed = list_videos(folder, extensions, videos_in(folder, extensions))
        self._made_from = [listed, source.recipes, SENTENCES]
        self.files = {video_id: place.path for video_id, place in located(folder, extensions, listed).items()}

    @property
    def target(self) -> Path:
        """Return the file that the workflow makes."""
        return self._store / "index.parquet"

    def is_fresh(self) -> bool:
        """Return whether the rows are those of the videos and settings as they are now."""
        return self.target.is_file() and self._noted().get("made_from") == self._digest()

    def corpus(self) -> tuple[Corpus, Counter]:
        """Return the rows of all videos, and how many videos have none, by status."""
        store = FeatureStore(self._store).preload()
        stored = {video_id: store[video_id] for video_id in store}
        rows = {name: FeatureRows(found.values, found.times) for name, found in stored.items()}
        return Corpus(rows, self._source.config), Counter(
            found.status for found in stored.values() if not len(found.values)
        )

    def least_score(self, corpus: Corpus, encode: Encode) -> float:
        """Return the score that a moment needs to count as found: found out once for these rows, then noted."""
        if not self.is_fresh():
            least = least_score(corpus.best_scores(encode(list(SENTENCES))))
            write_json(self._note, {"made_from": self._digest(), "least_score": least})
        return self._noted()["least_score"]

    def _noted(self) -> dict:
        return json.loads(self._note.read_text(encoding="utf-8")) if self._note.is_file() else {}

    def _digest(self) -> str:
        """Return the digest of what the rows are made from, and of which rows are there."""
        return digest_json([self._made_from, stat_signature(self.target)])
