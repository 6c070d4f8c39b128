"""What a person has to fetch: the messages say what, where to, what is inside, and see it in a wrong place."""

import pytest

from tests.markdown_pages import ROOT
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.fetching.download import fetch
from workflow_scripts.lib.fetching.folders import fetch_folder
from workflow_scripts.lib.fetching.source import Source
from workflow_scripts.lib.planning.archive_layouts import expected_inside
from workflow_scripts.lib.planning.plan import Plan

FILE = "weights/BEATs_iter3_plus_AS2M.pt"
ARCHIVE = "data/qvh/features/moment_detr_features.tar.gz"
INSIDE = (
    "features/clip_features/{video_id}.npz, features/clip_text_features/qid{source_query_id}.npz, "
    "features/slowfast_features/{video_id}.npz"
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, and a home beside it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "work"


def write(path, content=b"12345"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def plan():
    return Plan({}, ROOT / "config")


def message(ask, *arguments):
    with pytest.raises(UserError) as caught:
        ask(*arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("folder", "named"),
    [
        (".", "./"),
        ("weights/old", None),
        ("data", "data/"),
        ("../home/Downloads", "{home}/Downloads/"),
        ("other", None),
    ],
)
def test_weights_in_a_wrong_place_are_seen_and_no_deeper(here, folder, named):
    write(here / folder / "BEATs_iter3_plus_AS2M.pt")
    said = message(plan().downloads.weights_named, "BEATs_iter3_plus_AS2M.pt")
    found = named and named.format(home=here.parent / "home")
    end = (
        f". Found BEATs_iter3_plus_AS2M.pt in {found}, expected in weights/" if named else "github.com/microsoft/unilm"
    )
    assert said.startswith(f"weights 'beats_iter3_plus_as2m' are not at {FILE}. Put the file there: the authors share")
    assert said.endswith(end)


def test_a_machine_without_a_home_is_no_traceback(here, monkeypatch):
    monkeypatch.delenv("HOME")
    assert "Found" not in message(plan().downloads.weights_named, "BEATs_iter3_plus_AS2M.pt")


def test_a_file_of_a_wrong_size_in_a_wrong_place_is_not_the_one(here):
    write(here / "net.pth")
    source = Source(None, "MIT", size=7, page="a page")
    said = message(fetch, source, here / "weights/net.pth")
    assert said.endswith(f". Found net.pth in ./, expected in {here}/weights/, but it has 5 bytes, expected 7")
    right = message(fetch, Source(None, "MIT", size=5, page="a page"), here / "weights/net.pth")
    assert right.endswith(f". Found net.pth in ./, expected in {here}/weights/")


def test_without_internet_a_file_in_a_wrong_place_is_seen(here):
    write(here / "data/net.pth")
    source = Source("http://127.0.0.1:9/net.pth", "MIT")
    assert message(fetch, source, here / "weights/net.pth").endswith(
        f"Found net.pth in data/, expected in {here}/weights/"
    )


def test_missing_published_features_say_what_the_archive_holds_and_see_it_elsewhere(here):
    write(here.parent / "home/Downloads/moment_detr_features.tar.gz")
    said = message(plan().features.import_source, "qvh", "clip_b32_qvh_published", "0000")
    assert "get them from https://drive.google.com/" in said
    assert f"unpacks an archive that you put at {ARCHIVE}. Inside it have to be {INSIDE}. Found moment_detr" in said
    assert said.endswith(f"in {here.parent}/home/Downloads/, expected in data/qvh/features/")


def test_an_archive_of_another_layout_is_answered_with_what_is_there_and_what_was_expected(here):
    write(here / "data/qvh/features/moment_detr/qvhighlights/clip_features/a.npz")
    said = message(plan().features.import_source, "qvh", "clip_b32_qvh_published", "0000")
    assert said.endswith(f"data/qvh/features/moment_detr is there with qvhighlights, expected {INSIDE}")


def test_the_job_that_unpacks_says_the_same(here):
    settings = plan().downloads.archive("qvh", "clip_slowfast")
    source = Source(**settings["source"])
    ask = (source, settings["archive"], here / settings["folder"], settings["layout"], None, settings["inside"])
    said = message(fetch_folder, *ask)
    assert f"put it at {here / ARCHIVE}, or its content into {here}/data/qvh/features/moment_detr (licence: " in said
    assert said.endswith(f". Inside it have to be {INSIDE}")


@pytest.mark.parametrize(
    ("dataset", "download", "inside"),
    [
        ("charades", "videos", ["{video_id}.mp4"]),
        ("charades", "tan", ["vgg_rgb_features.hdf5"]),
        ("qvh", "calce_subtitles", ["{video_id}.srt"]),
        ("tacos", "lighthouse", []),
    ],
)
def test_what_an_archive_holds_is_what_the_features_read(dataset, download, inside):
    configuration = Configuration({}, ROOT / "config")
    assert expected_inside(configuration, dataset, configuration.dataset(dataset).downloads[download]) == inside
