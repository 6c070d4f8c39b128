"""How often a search says "nothing found", rightly and wrongly: queries of QVHighlights over captions of its videos.

Each trial takes some videos for the folder of a search. Queries about them should be found, as many queries about other
videos should not. The rows are those of the system `zero_shot_captions`, made before:

    python -m tests.benchmarks.nothing_found results/qvh data/qvh/annotations/highlight_val_release.jsonl
"""

import numpy as np

from models.systems.zero_shot.corpus import least_score
from models.systems.zero_shot.ranking import directions
from models.systems.zero_shot.unrelated import SENTENCES
from tests.benchmarks.qvh_captions import named_captions

SIZES = (1, 5, 20, 60)
TRIALS = 200


def best_scores(texts: np.ndarray, rows: list[np.ndarray]) -> np.ndarray:
    """Return what the best row of each video gives each text (texts, videos)."""
    return np.stack([(directions(texts) @ directions(values).T).max(axis=1) for values in rows], axis=1)


def trial(size: int, own: np.ndarray, asked: np.ndarray, unrelated: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return how many queries were found that should, that should not, and how many there were of each."""
    videos = rng.choice(asked.shape[1], size, replace=False)
    is_found = asked[:, videos].max(axis=1) >= least_score(unrelated[:, videos].max(axis=1))
    is_about = np.isin(own, videos)
    others = rng.choice(np.flatnonzero(~is_about), is_about.sum(), replace=False)
    return np.array([is_found[is_about].sum(), is_found[others].sum(), is_about.sum()])


def main() -> None:
    store, names, queries, encoder = named_captions(__doc__)
    rows = [store[name].values for name in names]
    asked = best_scores(np.concatenate(encoder.encode([record["query"] for record in queries])), rows)
    unrelated = best_scores(np.concatenate(encoder.encode(SENTENCES)), rows)
    own = np.array([names.index(record["vid"]) for record in queries])
    print(
        f"{len(names)} videos, {len(queries)} queries\n\n| videos in the folder | precision | recall |\n|---|---|---|"
    )
    for size in SIZES:
        rng = np.random.default_rng(0)
        right, wrong, n = sum(trial(size, own, asked, unrelated, rng) for _ in range(TRIALS))
        print(f"| {size} | {100 * right / (right + wrong):.0f} % | {100 * right / n:.0f} % |")


if __name__ == "__main__":
    main()
