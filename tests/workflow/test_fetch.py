"""Annotations, archives and videos of YouTube on real Snakemake, from a server on this machine."""

import gzip
import json
import os
import subprocess

import pytest

from tests.stand_ins import write_program
from tests.unit.made_clips import make_clip
from tests.unit.test_fetching_archives import make_tar
from tests.workflow.run_snakemake import ROOT, SNAKEMAKE, Workflow
from tests.workflow.test_bad_input import the_error
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

QUERIES = "".join(
    json.dumps({"video": f"{name}.mp4", "query": "a number is shown", "start": 0.5, "end": 2.0, "duration": 3.0}) + "\n"
    for name in "ab"
).encode()
HOST = "https://files.example"
ADDRESS, ARCHIVE = f"{HOST}/queries.jsonl", f"{HOST}/v.tar"
FILE = "data/clips/queries.jsonl"
TABLE = "clips/annotations/queries.parquet"
MANIFEST = "clips/media/manifest.parquet"


def workflow(folder, world, served, **settings):
    """The dataset `clips` with its annotations and videos in the world; nothing is here."""
    downloads = {
        "test": {"to": FILE, "url": ADDRESS, "licence": "CC0", **served.stated},
        "videos": {"to": "data/clips/videos", "url": ARCHIVE, "licence": "CC0", "unpack": "flat"},
    }
    dataset = {
        "videos": "data/clips/videos",
        "annotations": {"files": {"test": FILE}},
        "downloads": downloads,
        "n_shards": 2,
        "on_bad_video": "fail",
        **settings,
    }
    return Workflow(folder, {**world.config(), "datasets": {"clips": dataset}})


@pytest.fixture
def published(world, tmp_path):
    return workflow(tmp_path, world, world.serve(ADDRESS, QUERIES))


def test_annotations_are_fetched_when_something_needs_them(published, world):
    dry = published.plan(TABLE)
    assert dry.status == 0, dry.output
    assert "fetch_annotations" in dry.output
    assert world.served(ADDRESS).asked == []
    run = published.finish(TABLE)
    assert "import_annotations" in run.rules
    assert [row["video_id"] for row in read_table(published.results / TABLE).to_pylist()] == ["a", "b"]
    assert (published.folder / FILE).read_bytes() == QUERIES
    assert published.run(TABLE).is_nothing_to_do
    assert len(world.served(ADDRESS).asked) == 1


def test_a_transfer_that_breaks_is_taken_up_again(published, world):
    world.served(ADDRESS).breaks_after = [20]
    published.finish(TABLE)
    assert (published.folder / FILE).read_bytes() == QUERIES


@pytest.mark.parametrize("name", [FILE, f"{FILE}.gz"])
def test_a_file_that_is_there_is_not_fetched(published, world, name):
    path = published.folder / name
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(QUERIES) if name.endswith("gz") else QUERIES)
    run = published.finish(TABLE)
    assert "fetch_annotations" not in run.output
    assert world.served(ADDRESS).asked == []


def test_what_a_person_put_there_survives_every_option(published, world):
    path = published.folder / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(QUERIES)
    weights = published.folder / "weights/ViT-B-32.pt"
    weights.parent.mkdir()
    weights.write_bytes(b"mine")
    run = published.run(TABLE, options=("--forceall",))
    assert run.status == 0, run.output
    assert "fetch_" not in run.output
    status, output = call_by_name(published.folder, "weights/ViT-B-32.pt")
    assert status == 0, output
    assert "Nothing to be done" in output
    assert (path.read_bytes(), weights.read_bytes()) == (QUERIES, b"mine")
    assert world.served(ADDRESS).asked == []


def test_videos_are_never_fetched_unasked_and_the_message_names_the_target(published, world):
    world.serve(ARCHIVE)
    message = the_error(published.run(MANIFEST))
    assert message.startswith("data/clips/videos: no such folder. Put the videos there, or change `videos`")
    assert "`snakemake --cores 1 results/clips/fetched/videos.json` fetches v.tar (licence: CC0)" in message
    assert world.served(ARCHIVE).asked == []


def test_from_nothing_to_probed_videos(published, world, tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    clips = {f"set/{name}.mp4": make_clip(made / f"{name}.mp4", n_frames=30).read_bytes() for name in "ab"}
    world.serve(ARCHIVE, make_tar(made / "v.tar", clips).read_bytes(), breaks_after=[5000])
    published.finish("clips/fetched/videos.json")
    assert json.loads((published.results / "clips/fetched/videos.json").read_text())["files"] == 2
    published.finish(MANIFEST, TABLE)
    manifest = read_table(published.results / MANIFEST, ["video_id", "status"]).to_pylist()
    assert manifest == [{"video_id": "a", "status": "ok"}, {"video_id": "b", "status": "ok"}]
    assert published.run(MANIFEST, TABLE, "clips/fetched/videos.json").is_nothing_to_do


def test_a_wrong_checksum_ends_in_one_message_and_nothing_is_kept(world, tmp_path):
    wrong = world.serve(f"{HOST}/other", QUERIES[::-1])
    world.serve(ADDRESS, QUERIES)
    run = workflow(tmp_path, world, wrong).run(TABLE)
    assert run.status != 0
    assert "sha256 is" in run.output
    assert "nothing was kept" in run.output
    assert "Traceback" not in run.output
    assert list(tmp_path.glob("data/**/*.jsonl*")) == []


def test_without_internet_the_message_says_where_to_put_the_file(published):
    unreachable = "http://127.0.0.1:9/queries.jsonl"
    run = published.with_config({**published.config, "mirrors": {ADDRESS: unreachable}}).run(TABLE)
    assert run.status != 0
    assert f"cannot download {ADDRESS} (mirror: {unreachable}): " in run.output
    assert f"fetch the file elsewhere and put it at {FILE} (licence: CC0)" in run.output


def test_another_mirror_makes_nothing_anew_and_may_be_a_folder_of_this_machine(published, world, tmp_path):
    elsewhere = tmp_path / "a mirror"
    elsewhere.mkdir()
    make_tar(elsewhere / "v.tar", {"a.mp4": b"video"})
    record, settings = "clips/fetched/videos.json", published.results / "clips/fetched/videos.settings.json"
    local = published.with_config({**published.config, "mirrors": {HOST: elsewhere.as_uri()}})
    local.finish(record)
    log = (published.results / "clips/logs/fetch_folder/videos.log").read_text()
    assert f"{ARCHIVE} (mirror: {elsewhere.as_uri()}/v.tar) (licence: CC0)" in log
    before = json.loads(settings.read_text())
    assert published.run(record).is_nothing_to_do
    after = json.loads(settings.read_text())
    assert (before.pop("mirror"), after.pop("mirror")) == (f"{elsewhere.as_uri()}/v.tar", world.here(ARCHIVE))
    assert before == after


def test_annotations_for_people_only_name_their_page_before_any_job(published):
    dataset = published.config["datasets"]["clips"]
    dataset["downloads"]["test"] = {"to": FILE, "page": "https://example.org/form", "licence": "on request"}
    run = published.with_config({"datasets": {"clips": dataset}}).run(TABLE)
    assert "get it from https://example.org/form and put it at data/clips/queries.jsonl" in the_error(run)
    assert not run.rules


def test_an_unknown_archive_is_answered_with_the_known_ones(published):
    assert 'did you mean "videos"' in the_error(published.run("clips/fetched/video.json"))


def test_videos_of_youtube_are_listed_fetched_and_reported(tmp_path, world, monkeypatch):
    """`yt-dlp` is a stand-in that has one of two videos."""
    ids = ("abcdefghij1", "abcdefghij2")
    content = b"".join(json.dumps({"video": name, "query": "a dog"}).encode() + b"\n" for name in ids)
    made = workflow(tmp_path, world, world.serve(ADDRESS, content), on_youtube=True)
    program = tmp_path / "bin/yt-dlp"
    program.parent.mkdir()
    write_program(
        program,
        "import sys\n"
        'if sys.argv[-1].endswith("2"): sys.exit("ERROR: [youtube] abcdefghij2: Private video. Sign in")\n'
        'open(sys.argv[sys.argv.index("--output") + 1].replace("%(ext)s", "mp4"), "w").write("video")\n',
    )
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    made.finish("clips/youtube/missing.tsv")
    report = (made.results / "clips/youtube/missing.tsv").read_text().splitlines()
    assert [line.split("\t")[:4] for line in report[1:]] == [[ids[1], ids[1], "gone", "Private video. Sign in"]]
    assert [path.name for path in (tmp_path / "data/clips/videos").iterdir()] == [f"{ids[0]}.mp4"]
    again = made.run("clips/youtube/missing.tsv", options=("--forcerun", "fetch_youtube"))
    log = (made.results / "clips/logs/fetch_youtube.log").read_text()
    assert again.status == 0
    assert "1 were there, 0 fetched, 0 gone, 0 failed; 1 were known to be gone" in log
    assert (made.results / "clips/youtube/missing.tsv").read_text().splitlines() == report


def call_by_name(folder, name, *config):
    command = [SNAKEMAKE, "--snakefile", ROOT / "Snakefile", "--directory", folder, "--cores", "1", name]
    done = subprocess.run(
        [*map(str, command), *(["--config", *config] if config else [])], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_weights_lists_what_a_target_needs_how_large_it_is_and_what_is_there(tmp_path):
    status, everything = call_by_name(tmp_path, "weights")
    assert status == 0, everything
    assert "weights/ViT-B-32.pt" in everything
    status, needed = call_by_name(tmp_path, "weights", "needed_by=results/qvh/features/minilm_tokens/index.parquet")
    assert status == 0, needed
    assert "1 listed, 0 not here: 0 B" in needed
    assert "90.9 MB" in needed
    assert "ViT-B-32.pt" not in needed


def test_data_lists_what_a_dataset_needs_and_notices_what_is_there(tmp_path):
    path = tmp_path / "data/hirest/annotations/all_data_val.json"
    path.parent.mkdir(parents=True)
    path.write_text("half of it")
    target = "results/hirest/quag_published_features/metrics.json"
    status, needed = call_by_name(tmp_path, "data", f"needed_by={target}")
    assert status == 0, needed
    assert "all_data_val.json has 10 bytes instead of 108,730; delete it" in " ".join(needed.split())
    assert "snakemake --cores 1 results/hirest/fetched/asr.json" in needed
    assert "data/hirest/videos" not in needed
    assert "qvh" not in needed
    status, message = call_by_name(tmp_path, "data", "needed_by=hirest")
    assert status != 0
    assert "needed_by: 'hirest' is no target of a dataset" in message
