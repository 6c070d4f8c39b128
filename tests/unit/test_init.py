"""`python -m workflow_scripts.init`: from a folder to a dataset, and what a person is told."""

import csv
import io
import os
import shutil
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.unit.made_clips import make_clip
from workflow_scripts import init
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.datasets.dataset_file import dataset_name
from workflow_scripts.lib.datasets.own_folder import duration_text
from workflow_scripts.lib.planning.feature_costs import hours_needed
from workflow_scripts.lib.planning.first_steps import FirstSteps

CONFIG = Path(__file__).resolve().parents[2] / "config"
TONE = (0.0, np.full((1, 48000), 5000, np.int16))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with the shipped configuration, in which the program is called."""
    root = tmp_path / "checkout"
    shutil.copytree(CONFIG, root / "config")
    monkeypatch.setattr(init, "ROOT", root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def folder(tmp_path):
    """Three good videos in awkward places, an empty one, and a file that is none."""
    folder = tmp_path / 'Ferien 2024: Rom\'s "beste"'
    (folder / "tag, 1").mkdir(parents=True)
    make_clip(folder / "a.mp4", n_frames=30, sound=TONE).rename(
        folder / (unicodedata.normalize("NFD", "Überfahrt.mp4"))
    )
    make_clip(folder / "tag, 1" / "same.mkv", n_frames=50, size=(192, 128))
    make_clip(folder / "tag, 1" / "same.mp4", n_frames=20)
    (folder / "empty.TS").touch()
    (folder / "notes.txt").touch()
    return folder


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the program; returns what it prints."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["init", *map(str, arguments)])
        init.main()
        return capsys.readouterr().out

    return run


def error_of(call, *arguments):
    with pytest.raises(init.UserError) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_folder_becomes_a_dataset_and_what_is_in_it_is_told(checkout, folder, call, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    told = call(folder).splitlines()
    path = checkout / "config/datasets/ferien_2024_rom_s_beste.yaml"
    n_bytes = sum(file.stat().st_size for file in folder.rglob("*.m*"))
    assert told[0] == f"{folder}: 4 videos, 10 seconds, {n_bytes / 1000:.3g} kB; 1 with sound, 2 without"
    assert told[1:7] == [
        "  2 .mp4, 1 .mkv, 1 .ts; 2 in subfolders; 2 share their names and keep the extension in their ids",
        "  pictures of 64 to 128 lines; the longest video: tag, 1/same.mkv, 5 seconds",
        "  1 other file, not looked at: 1 .txt",
        "  1 cannot be used and will be left out:",
        "     empty.TS: empty (the file has no bytes)",
        f"written: {path}",
    ]
    steps = "\n".join(told[7:])
    name = path.stem
    assert "costs guessed very roughly from the hours of video (2 cores, " in steps
    assert f"     snakemake results/{name}/transcripts/whisper_tiny_en/index.parquet" in told
    assert f"     snakemake results/{name}/features/clip_b32/index.parquet" in told
    assert f"systems: {{uniq4cap: {{checkpoint_file: FILE}}}}}}}}' -- results/{name}/uniq4cap/captions.csv" in steps
    assert "350 MB to download" in steps
    assert f"--name {name} --force --queries queries.csv" in steps
    assert len(told) <= 25
    configuration = Configuration({}, checkout / "config")
    dataset = configuration.dataset(name)
    assert (dataset.title, dataset.videos, dataset.on_bad_video) == (folder.name, str(folder), "skip")
    assert dataset.annotations.is_listing


def test_the_table_that_is_shown_and_the_lines_to_take_in_make_a_dataset_with_queries(checkout, folder, call, tmp_path):
    (folder / unicodedata.normalize("NFD", "Überfahrt.mp4")).unlink()
    told = call(folder, "--name", "mine").splitlines()
    table = [line.strip().removeprefix("queries.csv: ") for line in told if "start,end" in line or "a dog" in line]
    (tmp_path / "queries.csv").write_text("\n".join(table))
    [row] = csv.DictReader(io.StringIO((tmp_path / "queries.csv").read_text()))
    assert row["video"] in ("tag, 1/same.mkv", "tag, 1/same.mp4")
    path = checkout / "config/datasets/mine.yaml"
    text = path.read_text()
    assert all(line in text for line in table)
    commented = text[text.index("# annotations:") :].replace("# ", "").replace("/path/to", str(tmp_path))
    path.write_text(text[: text.index("# annotations:")] + commented)
    dataset = Configuration({}, checkout / "config").dataset("mine")
    assert (dataset.annotations.format, dataset.annotations.files) == ("plain", {"test": f"{tmp_path}/queries.csv"})


def test_queries_are_looked_at_and_written_into_the_dataset(checkout, folder, call, tmp_path):
    queries = tmp_path / "my queries.csv"
    queries.write_text(
        'video,query,start,end\n"tag, 1/same.mkv",x,1,2\nUberfahrt.mp4,y,,\nÜberfahrt.mp4,z,,\nno.mp4,z,,\n'
    )
    told = call(folder, "--name", "mine", "--queries", queries).splitlines()
    assert f"{queries}: queries: 4, with 1 moment, about 2 videos; splits: test" in told
    at = told.index("  2 of its videos are not there:")
    near = unicodedata.normalize("NFD", "Überfahrt.mp4")
    extensions = "mp4|mkv|webm|avi|mov|m4v|mpg|mpeg|wmv|flv"
    assert told[at + 1 : at + 3] == [
        f"     Uberfahrt.mp4: no Uberfahrt.({extensions}); the nearest name is {near}",
        f"     no.mp4: no no.({extensions})",
    ]
    assert len(told) <= 25
    assert any("they are worth nothing" in line for line in told)
    assert "     snakemake results/mine/img/report.html" in told
    configuration = Configuration({}, checkout / "config")
    assert configuration.dataset("mine").annotations.files == {"test": str(queries)}
    assert configuration.system("mine", "img").checkpoint_from == "demo"


@pytest.mark.parametrize(
    ("splits", "written"),
    [
        (["train", "val", "test"], None),
        (["train", "test"], {"select": "held_out"}),
        (["train", "val"], {"test": ["val"]}),
        (["train"], {"select": "held_out", "test": ["train"]}),
    ],
)
def test_queries_to_learn_from_are_learnt_from(checkout, folder, call, tmp_path, splits, written):
    lines = [f"Überfahrt.mp4,x {split},0,1,{split}" for split in splits if split == "train"]
    lines += [f'"tag, 1/same.mkv",x {split},0,1,{split}' for split in splits if split != "train"]
    (tmp_path / "q.csv").write_text("video,query,start,end,split\n" + "\n".join(lines))
    told = call(folder, "--name", "mine", "--queries", tmp_path / "q.csv")
    assert "2. IMG, trained on your queries and scored (training comes on top): " in told
    content = yaml.safe_load((checkout / "config/datasets/mine.yaml").read_text())
    assert content.get("splits") == written
    assert "systems" not in content
    assert Configuration({}, checkout / "config").system("mine", "img").checkpoint_from is None


def test_a_file_that_exists_is_never_overwritten_unless_that_is_asked_for(checkout, folder, call):
    path = checkout / "config/datasets/mine.yaml"
    path.write_text("mine")
    assert f"{path}: exists; choose another name" in error_of(call, folder, "--name", "mine")
    assert path.read_text() == "mine"
    call(folder, "--name", "mine", "--force")
    assert Configuration({}, checkout / "config").dataset("mine").videos == str(folder)


def test_what_is_no_folder_of_videos_is_refused_with_the_reason(checkout, folder, call, tmp_path):
    assert "nowhere: no such folder; name the one that holds the videos" in error_of(call, tmp_path / "nowhere")
    assert "notes.txt: is a file; name the folder that it lies in" in error_of(call, folder / "notes.txt")
    assert "results would be written among the videos" in error_of(call, ".")
    assert "expected small letters, digits and underscores, such as ferien" in error_of(call, folder, "--name", "A b")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.jpg").touch()
    message = error_of(call, tmp_path / "pictures")
    assert "no video in it; 1 other files are there: 1 .jpg. Looked for .mp4, .mkv," in message
    (tmp_path / "pictures/a.mp4").touch()
    assert "no video in it can be used: a.mp4: empty (the file has no bytes)" in error_of(call, tmp_path / "pictures")
    (tmp_path / "pictures/a\tb.mp4").touch()
    assert "names of videos: 1 cannot be used: 'a\\tb'" in error_of(call, tmp_path / "pictures")
    (tmp_path / "q.csv").write_text("video,query\nc.mp4,x\n")
    assert "q.csv: none of its 1 videos is in" in error_of(call, folder, "--queries", tmp_path / "q.csv")
    (tmp_path / "a\nb").mkdir()
    assert "cannot be written down" in error_of(call, tmp_path / "a\nb")
    assert {path.name for path in (checkout / "config/datasets").iterdir()} == {
        path.name for path in (CONFIG / "datasets").iterdir()
    }


def test_commands_name_the_snakefile_where_it_is_not_in_this_folder(checkout, folder, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "checkout/config")
    assert f"snakemake -s {checkout}/Snakefile results/mine/" in call(folder, "--name", "mine")


@pytest.mark.parametrize(
    ("folder", "name"),
    [("My Vidéos", "my_videos"), ("-2024-", "2024"), ("日本", "videos"), ("logs", "logs_videos"), ("A  b.c", "a_b_c")],
)
def test_names_of_datasets_come_from_folders(folder, name):
    assert dataset_name(Path("/somewhere") / folder) == name


def test_durations_are_told_in_fitting_units():
    assert [duration_text(seconds / 3600) for seconds in (9, 600, 5400)] == ["9 seconds", "10 minutes", "1.5 hours"]


def test_costs_follow_the_hours(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    configuration = Configuration({"device": "cpu"}, CONFIG)
    steps = FirstSteps(configuration, "clips", "snakemake", hours=100.0, hours_of_sound=30.0, n_videos=7)
    # A core hears 7.5 times as fast as people speak; 4.4e9 multiply-adds a frame on 25e9 of each core.
    assert steps.transcripts().costs == "about 2.0 h"
    assert steps.features().costs == "about 9 h, 369 MB on disk, 350 MB to download"
    # The files of UniQ4Cap's towers have no published size.
    assert steps.captions().costs.endswith("weights to download, of a size that nobody states")
    assert hours_needed(configuration.feature("clips", "whisper_large_v3"), 1.0, on_gpu=False) == 0.0
