"""What several features cost in one pass over the videos, and in a pass of each: `python -m tests.benchmarks.one_pass`.

Clips of 5 s are extracted for three features without a network, which see 2, 3 and 5 frames of each second, by jobs of
their own and by the job of a pass, in turns. Printed is what each further feature costs by the processor, per clip.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.benchmarks.short_clips import FEATURE, make_clips, run
from tests.encoder_table import ROOT
from tests.unit.made_settings import feature_options, settings_options
from workflow_scripts import extract_pass, extract_visual, probe_media, sample_frames
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.extraction.settings import feature_settings
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.pass_file import Pass, passes_content
from workflow_scripts.lib.store.shard_store import read_whole_shard
from workflow_scripts.lib.store.shards import shard_list_text

RATES = (2, 3, 5)
SHARD = "0000"


def measure(folder: Path, n_clips: int) -> tuple[list[float], float]:
    """Return the processor seconds of every feature's own job, and those of one job for all."""
    names, videos = make_clips(folder / "videos", n_clips), str(folder / "videos")
    (folder / f"{SHARD}.tsv").write_text(shard_list_text(dict.fromkeys(names, "x")))
    media = folder / "media.parquet"
    probe = settings_options(folder / "probe.json", {"videos": videos, "extensions": ["mp4"]})
    run(probe_media, *probe, "--shard-list", folder / f"{SHARD}.tsv", "--out", media)
    settings, plans, keys, alone = [], [], {}, []
    for rate in RATES:
        given = {"features": {FEATURE: {"sampling": {"rate": rate}}}}
        name = f"{FEATURE}_{rate}"
        content = feature_settings(Configuration(given, ROOT / "config"), "demo", FEATURE)
        content |= {"folder": videos, "feature": name}
        plans.append(folder / f"{name}.parquet")
        sampling = {"videos": videos, "sampling": content["recipe"]["sampling"]}
        known = settings_options(folder / f"{name}.json", sampling)
        run(sample_frames, *known, "--media", media, "--out", plans[-1])
        tables = ("--rows-of", plans[-1], "--media", media)
        known = feature_options(folder / "alone" / name / "settings.json", content)
        _, used_s = run(extract_visual, *known, *tables, "--store", folder / "alone" / name / f"{SHARD}.zarr")
        alone.append(used_s)
        settings.append(folder / "features" / name / "settings.json")
        _, _, _, keys[name] = feature_options(settings[-1], content)
    write_json(folder / "passes.json", passes_content([Pass("all", keys, 1)]))
    known = ("--record", folder / "passes.json", "--settings", *settings, "--keys", *keys.values())
    marker = folder / f"passes/all/{SHARD}-{SHARD}.json"
    _, together = run(extract_pass, *known, "--media", media, "--out", marker)
    for name in keys:
        made, other = (read_whole_shard(folder / root / name / f"{SHARD}.zarr")[1] for root in ("features", "alone"))
        if not np.array_equal(made.values, other.values):
            raise SystemExit(f"{name}: the rows differ")
    return alone, together


def measured(n_clips: int, n_rounds: int) -> Iterator[Figure]:
    """Yield what features cost together and apart."""
    rounds = []
    for _ in range(n_rounds):
        with tempfile.TemporaryDirectory() as folder:
            alone, together = measure(Path(folder), n_clips)
        rounds.append((sum(alone), together, max(alone)))
    apart, together, most = 1000 * np.median(rounds, axis=0) / n_clips
    print(f"{len(RATES)} features of a clip: apart {apart:.1f} ms, together {together:.1f} ms, dearest {most:.1f} ms")
    what = f"{len(RATES)} features without a network of clips of 5 s"
    yield Figure(f"{what}: apart over one pass, processor time", apart / together, "x", "larger")
    yield Figure(f"{what}: saved per further feature and clip", (apart - together) / (len(RATES) - 1), "ms", "larger")


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--clips", type=int, default=100, help="number of clips (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of both (default: %(default)s)")
    args = parser.parse_args()
    return tell(measured(args.clips, args.rounds), args.json)


if __name__ == "__main__":
    sys.exit(main())
