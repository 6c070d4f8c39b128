"""What a longer video costs an answer without training: videos of QVHighlights val put behind one another.

Rows of captions are concatenated, moments are shifted, and the queries as annotated are asked of the whole: of 150 s up
to three hours. The rows are those of the system `zero_shot_captions`, made before:

    python -m tests.benchmarks.concatenated results/qvh data/qvh/annotations/highlight_val_release.jsonl
"""

import numpy as np

from models.systems.interface import FeatureRows
from models.systems.zero_shot.config import Config
from models.systems.zero_shot.moments import localised
from models.systems.zero_shot.overlap import iou
from models.systems.zero_shot.timed_scores import timed_scores
from tests.benchmarks.qvh_captions import named_captions

PARTS = (1, 2, 6, 24, 72)
"""Videos of 150 s in one: 72 are three hours."""
CONFIGS = {name: Config(clip_s=None, localiser=name) for name in ("threshold_merge", "watershed")}


def joined(videos: list[FeatureRows]) -> tuple[FeatureRows, np.ndarray]:
    """Return the rows of all videos as those of one, and the second at which each begins and the last ends."""
    starts = np.concatenate([[0.0], np.cumsum([rows.times[-1, 1] for rows in videos])])
    times = np.concatenate([rows.times + start for rows, start in zip(videos, starts[:-1], strict=True)])
    return FeatureRows(np.concatenate([rows.values for rows in videos]), times), starts


def is_hit(text: np.ndarray, rows: FeatureRows, windows: np.ndarray, config: Config) -> bool:
    """Return whether the first moment has an IoU of 0.5 with one of the annotated windows (n, 2)."""
    [first, *_] = localised(text, rows.values, timed_scores(text, rows), float(rows.times[-1, 1]), config)
    return bool(iou(first, windows).max() >= 0.5)


def main() -> None:
    captions = named_captions(__doc__)
    stored = {name: captions.store[name] for name in captions.videos}
    videos = {name: FeatureRows(found.values, found.times.astype(np.float64)) for name, found in stored.items()}
    queries = captions.queries
    texts = captions.encoder.encode([record["query"] for record in queries])
    names = list(np.random.default_rng(0).permutation(sorted(videos)))
    print(f"{len(names)} videos, {len(queries)} queries\n\n| videos in one | {' | '.join(CONFIGS)} |\n|---|---|---|")
    for n_parts in PARTS:
        hits = {name: [] for name in CONFIGS}
        for first in range(0, len(names) - n_parts + 1, n_parts):
            parts = names[first : first + n_parts]
            rows, starts = joined([videos[name] for name in parts])
            begins = dict(zip(parts, starts[:-1], strict=True))
            for record, text in zip(queries, texts, strict=True):
                if record["vid"] in begins:
                    windows = np.array(record["relevant_windows"], np.float64) + begins[record["vid"]]
                    for name, config in CONFIGS.items():
                        hits[name].append(is_hit(text, rows, windows, config))
        cells = " | ".join(f"{100 * np.mean(found):.1f}" for found in hits.values())
        print(f"| {n_parts} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
