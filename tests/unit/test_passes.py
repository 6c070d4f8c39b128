"""Which features are made in one pass, which leave it, and what the rule of a pass is told."""

import json
import shutil

import pytest

from tests.markdown_pages import ROOT
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.store.batches import stores_named
from workflow_scripts.lib.store.pass_file import Pass, read_passes, write_pass_marker
from workflow_scripts.lib.store.shard_job import Computed, Wanted, update_shard

CONFIG = ROOT / "config"
INDEX = "results/clips/features/{}/index.parquet"
LIGHT = ("rgb_histogram", "c3d_tiny", "blip2_frames_tiny")
HOUR_S = 3600


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Ten videos of three hours each, of which only the names are there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    rows = []
    for number in range(10):
        (tmp_path / f"videos/{number}.mp4").touch()
        rows.append({"video": f"{number}.mp4", "query": "a dog", "duration": 3 * HOUR_S})
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def plan(*wanted: str, features: dict | None = None, **root) -> Plan:
    """Return a plan that has formed passes for the indices of features; `told` are its lines."""
    clips = {"videos": "videos", "annotations": {"files": {"test": "queries.jsonl"}}, "n_shards": 2}
    found = Plan({"datasets": {"clips": clips | {"features": features or {}}}, **root}, CONFIG)
    found.told = found.passes.form(INDEX.format(name) for name in wanted)
    return found


def waits_for(found: Plan, feature: str) -> list[str]:
    return [path.removeprefix("results/clips/") for path in found.features.row_shards("clips", feature)]


def finish(
    folder, name: str = "blip2_frames_tiny+rgb_histogram", features=("blip2_frames_tiny", "rgb_histogram")
) -> None:
    """Write what the jobs of a pass write."""
    roots = [folder / "results/clips/features" / feature for feature in features]
    for shard in ("0000", "0001"):
        for root in roots:
            update_shard(
                root / f"{shard}.zarr", [], {"encoder": "made"}, "float32", 4, lambda _: iter(()), cache_dir=None
            )
        write_pass_marker(folder / f"results/clips/passes/{name}/{shard}-{shard}.json", roots)
    for root in roots:
        (root / "index.parquet").touch()


PAIR = "passes/blip2_frames_tiny+rgb_histogram"
MARKERS = [f"{PAIR}/0000-0000.json", f"{PAIR}/0001-0001.json"]
ALONE = ["features/{}/0000.zarr/zarr.json", "features/{}/0001.zarr/zarr.json"]


def alone(feature: str) -> list[str]:
    return [path.format(feature) for path in ALONE]


def by_markers(feature: str) -> list[str]:
    return [f"features/{feature}/batches/{shard}-{shard}.json" for shard in ("0000", "0001")]


def test_features_that_are_asked_for_together_and_wait_for_the_decoder_share_a_pass(folder):
    found = plan("rgb_histogram", "blip2_frames_tiny")
    assert waits_for(found, "rgb_histogram") == waits_for(found, "blip2_frames_tiny") == MARKERS
    assert found.told == [
        "one pass over the videos of clips: each is decoded once for blip2_frames_tiny and rgb_histogram"
    ]
    assert waits_for(found, "c3d_tiny") == alone("c3d_tiny")


def test_one_feature_alone_shares_nothing(folder):
    found = plan("rgb_histogram")
    assert found.told == []
    assert waits_for(found, "rgb_histogram") == alone("rgb_histogram")
    assert not (folder / "results/clips/passes.json").exists()


@pytest.mark.parametrize(
    ("option", "wanted", "shared"),
    [
        ("never", LIGHT, ()),
        # On one core the network of CLIP takes longer than the decoder.
        ("auto", ("rgb_histogram", "blip2_frames_tiny", "clip_tiny"), ("blip2_frames_tiny", "rgb_histogram")),
        (
            "always",
            ("rgb_histogram", "blip2_frames_tiny", "clip_tiny"),
            ("blip2_frames_tiny", "clip_tiny", "rgb_histogram"),
        ),
        # Sounds and texts are not decoded, rows of others neither.
        ("always", ("rgb_histogram", "sound_level", "minilm"), ()),
        ("always", ("rgb_histogram", "clip_b32_qvh_published"), ()),
        # Components that are fitted on rows come after these.
        ("always", ("c3d_fc6_tacos", "c3d_fc6_tacos_pca500", "vgg16"), ("c3d_fc6_tacos", "vgg16")),
        # Each network where its feature wants it.
        ("auto", ("clip_b32", "vgg16", "rgb_histogram", "blip2_frames_tiny"), None),
    ],
)
def test_which_features_may_share(folder, option, wanted, shared):
    found = plan(*wanted, one_pass=option, features={"clip_b32_qvh_published": {"path": "videos"}})
    passes = [list(each.keys) for each in found.passes._records.of_dataset("clips")]
    if shared is None:
        assert passes == [["clip_b32", "vgg16"], ["blip2_frames_tiny", "rgb_histogram"]]
    else:
        assert passes == ([list(shared)] if shared else [])


def test_a_decoder_that_serves_one_network_only_is_left_to_it(folder):
    found = plan(*LIGHT, one_pass="always", features={"c3d_tiny": {"runtime": {"decoder": "ffmpeg"}}})
    assert waits_for(found, "c3d_tiny") == alone("c3d_tiny")
    assert waits_for(found, "blip2_frames_tiny") == MARKERS


def test_little_video_is_not_worth_a_pass(folder):
    rows = [{"video": f"{number}.mp4", "query": "a dog", "duration": 60} for number in range(10)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert plan("rgb_histogram", "blip2_frames_tiny").told == []
    assert plan("rgb_histogram", "blip2_frames_tiny", one_pass="always").told != []


def test_what_is_begun_is_kept_and_what_is_not_is_formed_anew(folder):
    plan(*LIGHT, one_pass="always")
    assert waits_for(plan("rgb_histogram", "blip2_frames_tiny"), "rgb_histogram") == MARKERS
    assert plan("rgb_histogram").told == []
    plan("rgb_histogram", "blip2_frames_tiny")
    finish(folder)
    for wanted in ((), ("blip2_frames_tiny",), ("rgb_histogram", "c3d_tiny")):
        for option in ("auto", "always", "never"):
            found = plan(*wanted, one_pass=option)
            assert found.told == []
            assert waits_for(found, "blip2_frames_tiny") == MARKERS
            assert waits_for(found, "c3d_tiny") == alone("c3d_tiny")
    # A job on another machine asks the record alone.
    remote = Plan({"datasets": {"clips": {"annotations": {"files": {"test": "queries.jsonl"}}, "n_shards": 2}}}, CONFIG)
    assert waits_for(remote, "blip2_frames_tiny") == MARKERS


def test_a_feature_with_other_settings_leaves_for_good_and_the_others_stay(folder):
    plan("rgb_histogram", "blip2_frames_tiny")
    finish(folder)
    changed = plan(features={"rgb_histogram": {"params": {"bins": 8}}})
    assert waits_for(changed, "rgb_histogram") == by_markers("rgb_histogram")
    assert waits_for(changed, "blip2_frames_tiny") == MARKERS
    before = plan().passes.keys("clips", "blip2_frames_tiny+rgb_histogram")
    assert waits_for(plan(), "rgb_histogram") == by_markers("rgb_histogram")
    assert changed.passes.keys("clips", "blip2_frames_tiny+rgb_histogram") == before
    [formed] = read_passes(folder / "results/clips/passes.json")
    assert (formed.members, formed.left) == (["blip2_frames_tiny"], ("rgb_histogram",))


def test_a_dry_run_leaves_the_record_as_it_is(folder):
    record = folder / "results/clips/passes.json"
    targets = [INDEX.format(name) for name in ("rgb_histogram", "blip2_frames_tiny")]

    def dry_run(**features):
        clips = {"videos": "videos", "annotations": {"files": {"test": "queries.jsonl"}}, "n_shards": 2}
        found = Plan({"datasets": {"clips": clips | {"features": features}}}, CONFIG)
        found.passes.form(targets, is_dry=True)
        return found

    assert waits_for(dry_run(), "rgb_histogram") == MARKERS
    assert not record.exists()
    plan("rgb_histogram", "blip2_frames_tiny")
    finish(folder)
    before = record.read_text()
    changed = dry_run(rgb_histogram={"params": {"bins": 8}})
    assert waits_for(changed, "rgb_histogram") == by_markers("rgb_histogram")
    assert record.read_text() == before
    assert waits_for(plan(), "rgb_histogram") == MARKERS


def test_a_call_for_another_dataset_changes_no_pass(folder):
    plan("rgb_histogram", "blip2_frames_tiny")
    finish(folder)
    record = (folder / "results/clips/passes.json").read_text()
    other = Plan({"features": {"rgb_histogram": {"params": {"bins": 8}}}}, CONFIG)
    assert other.passes.form(["results/demo/features/rgb_histogram/index.parquet"]) == []
    assert (folder / "results/clips/passes.json").read_text() == record


@pytest.mark.parametrize("has_index", [True, False])
def test_a_feature_whose_shards_are_gone_leaves_and_the_others_stay(folder, has_index):
    plan("rgb_histogram", "blip2_frames_tiny")
    finish(folder)
    root = folder / "results/clips/features/blip2_frames_tiny"
    shutil.rmtree(root / "0001.zarr")
    if not has_index:
        (root / "index.parquet").unlink()
    found = plan("blip2_frames_tiny", "rgb_histogram")
    assert waits_for(found, "blip2_frames_tiny") == by_markers("blip2_frames_tiny")
    assert waits_for(found, "rgb_histogram") == MARKERS
    assert found.told == []


def test_a_pass_that_cannot_go_on_is_given_up_on_request(folder):
    plan("rgb_histogram", "blip2_frames_tiny")
    finish(folder)
    (folder / f"results/clips/{MARKERS[1]}").unlink()
    for feature in ("rgb_histogram", "blip2_frames_tiny"):
        (folder / INDEX.format(feature).removeprefix("/")).unlink()
        shutil.rmtree(folder / f"results/clips/features/{feature}/0001.zarr")
    assert waits_for(plan("blip2_frames_tiny"), "blip2_frames_tiny") == MARKERS
    assert plan("blip2_frames_tiny").told != []
    given_up = plan("blip2_frames_tiny", one_pass="never")
    assert waits_for(given_up, "blip2_frames_tiny") == by_markers("blip2_frames_tiny")


def test_a_new_pass_takes_no_marker_of_a_former_one_for_its_own(folder):
    plan("rgb_histogram", "blip2_frames_tiny")
    finish(folder)
    shutil.rmtree(folder / "results/clips/features")
    (folder / "results/clips/passes.json").unlink()
    found = plan("rgb_histogram", "blip2_frames_tiny")
    assert waits_for(found, "blip2_frames_tiny") == [marker.replace(PAIR, f"{PAIR}+2") for marker in MARKERS]


def test_a_pass_whose_markers_are_gone_is_the_same_pass(folder):
    plan("rgb_histogram", "blip2_frames_tiny")
    finish(folder)
    shutil.rmtree(folder / f"results/clips/{PAIR}")
    assert waits_for(plan("rgb_histogram"), "blip2_frames_tiny") == MARKERS


def test_annotations_that_are_fetched_first_are_waited_for(folder):
    (folder / "queries.jsonl").rename(folder / "later.jsonl")
    found = plan("rgb_histogram", "blip2_frames_tiny")
    assert found.told == []
    (folder / "later.jsonl").rename(folder / "queries.jsonl")
    assert waits_for(found, "blip2_frames_tiny") == MARKERS


def test_a_job_of_a_pass_gets_what_all_its_features_need(folder):
    runtimes = {"rgb_histogram": (3, 1000, 100), "blip2_frames_tiny": (2, 4000, 50)}
    features = {
        name: {"runtime": {"threads": threads, "mem_mb": memory, "runtime_min": minutes, "shards_per_job": 2}}
        for name, (threads, memory, minutes) in runtimes.items()
    }
    found = plan("rgb_histogram", "blip2_frames_tiny", features=features)
    [formed] = found.passes._records.of_dataset("clips")
    asked = ("clips", formed.name)
    assert found.passes.threads(*asked) == 3
    assert found.passes.runtime_min(*asked) == 150
    assert 5000 <= found.passes.memory_mb(*asked) < 6000
    assert found.passes.gpus(*asked) == 0
    assert found.passes.keys(*asked) == [found.features.key("clips", name) for name in formed.keys]
    folders = [path.split("/")[3] for path in found.passes.settings(*asked)]
    assert folders == ["blip2_frames_tiny", "rgb_histogram"]
    assert found.passes.media(*asked, "0000-0001") == [f"results/clips/media/000{n}.parquet" for n in (0, 1)]
    assert waits_for(found, "blip2_frames_tiny") == [f"{PAIR}/0000-0001.json"]
    assert found.passes.manifest(*asked) == ["results/clips/media/manifest.parquet"]
    with pytest.raises(UserError, match="there is no such pass"):
        found.passes.keys("clips", "rgb_histogram+other")


def test_a_marker_leads_to_the_stores_of_each_feature(tmp_path):
    roots = [tmp_path / "a", tmp_path / "b"]

    def compute(missing):
        return (Computed(video, [[1.0, 2.0]], [[0, 1]]) for video in missing)

    for root in roots:
        for shard in ("0000", "0001"):
            update_shard(root / f"{shard}.zarr", [Wanted("v", "1")], {"encoder": "x"}, "float32", None, compute, None)
    marker = tmp_path / "passes/a+b/0000-0001.json"
    write_pass_marker(marker, roots)
    assert stores_named(marker, roots[1]) == [roots[1] / "0000.zarr", roots[1] / "0001.zarr"]
    before = marker.read_bytes()
    write_pass_marker(marker, roots)
    assert marker.read_bytes() == before
    shutil.rmtree(roots[0] / "0001.zarr")
    update_shard(roots[0] / "0001.zarr", [Wanted("w", "2")], {"encoder": "x"}, "float32", None, compute, None)
    write_pass_marker(marker, roots)
    assert marker.read_bytes() != before


def test_shards_of_a_pass_whose_record_was_deleted_are_looked_through(folder):
    """Snakemake would take them for up to date, whatever the settings are now."""
    plan("rgb_histogram", "blip2_frames_tiny")
    finish(folder)
    (folder / "results/clips/passes.json").unlink()
    changed = plan("rgb_histogram", features={"rgb_histogram": {"params": {"bins": 8}}})
    assert waits_for(changed, "rgb_histogram") == by_markers("rgb_histogram")
    assert waits_for(changed, "c3d_tiny") == alone("c3d_tiny")


def test_a_record_that_is_damaged_is_refused_by_name(folder):
    record = folder / "results/clips/passes.json"
    record.parent.mkdir(parents=True)
    for text in ("", "[]", '{"passes": [{}]}'):
        record.write_text(text)
        with pytest.raises(UserError, match=r"passes\.json: names no passes\. Delete it"):
            read_passes(record)


def test_the_features_of_a_pass_leave_one_by_one():
    formed = Pass("a+b+c", {"a": "1", "b": "2", "c": "3"}, 1)
    left = formed.without(["c"]).without(["a"])
    assert (left.left, left.members, left.name) == (("a", "c"), ["b"], "a+b+c")
    assert formed.without([]) == formed
