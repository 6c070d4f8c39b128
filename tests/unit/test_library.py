"""The package as others import it: the code of docs/library.md, one video like the workflow's, and an installation."""

import doctest
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.markdown_pages import ROOT
from tests.unit.forked import run_forked
from tests.unit.made_settings import feature_options, settings_options
from workflow_scripts import encode, features
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.settings import feature_settings
from workflow_scripts.lib.store.shards import shard_list_text

FILM = ROOT / "tests" / "goldens" / "extractors" / "sampling" / "clips" / "cfr10_9s.mp4"
SHARD, VIDEO = "0000", "demo_test_000"


def run(name: str, *args: object, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", name, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300, check=True)


def run_job(name: str, *args: object) -> None:
    done = run_forked(name, *args)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a film, and the results of the workflow's jobs about the same film."""
    place = tmp_path_factory.mktemp("place")
    shutil.copyfile(FILM, place / "film.mp4")
    videos, feature = place / "videos", place / "results" / "demo" / "features" / "clip_tiny"
    videos.mkdir()
    feature.mkdir(parents=True)
    shutil.copyfile(FILM, videos / f"{VIDEO}.mp4")
    (place / f"{SHARD}.tsv").write_text(shard_list_text({VIDEO: "x"}))
    settings = feature_settings(Configuration({}, ROOT / "config"), "demo", "clip_tiny") | {"folder": str(videos)}
    media, plan = place / "media.parquet", place / "plan.parquet"
    known = settings_options(place / "probe.json", {"videos": str(videos), "extensions": ["mp4"]})
    run_job("probe_media", *known, "--shard-list", place / f"{SHARD}.tsv", "--out", media)
    known = settings_options(place / "plan.json", {"videos": str(videos), "sampling": settings["recipe"]["sampling"]})
    run_job("sample_frames", *known, "--media", media, "--out", plan)
    known, store = feature_options(feature / "settings.json", settings), feature / f"{SHARD}.zarr"
    run_job("extract_visual", *known, "--rows-of", plan, "--media", media, "--store", store)
    run_job("index_features", "--out", feature / "index.parquet", "--lost", place / "lost.json", store)
    return place


def test_the_code_of_the_page_does_what_it_says(place, monkeypatch):
    monkeypatch.chdir(place)
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    example = doctest.DocTestParser().get_doctest(text, {}, "docs/library.md", "docs/library.md", 0)
    assert len(example.examples) > 6
    assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


def test_one_video_gets_the_rows_that_the_workflow_stores(place):
    ours, stored = encode(place / "film.mp4", "clip_tiny"), features("demo", "clip_tiny", place / "results")[VIDEO]
    assert (ours.status, ours.values.dtype, ours.times.dtype) == ("ok", np.float32, np.float32)
    assert np.array_equal(ours.values, stored.values)
    assert np.array_equal(ours.times, stored.times)


def test_a_video_without_sound_has_no_rows_of_it(place):
    rows = encode(place / "film.mp4", "cnn14_tiny")
    assert (rows.status, len(rows.values), rows.times.shape) == ("no_audio", 0, (0, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda place: encode(place / "none.mp4", "clip_tiny"), r"none\.mp4: missing: no such file"),
        (lambda place: encode(place / "media.parquet", "clip_tiny"), r"media\.parquet: unreadable"),
        (lambda place: encode(place / "film.mp4", "clip_tinny"), 'did you mean "clip_tiny"'),
        (lambda place: encode(place / "film.mp4", "clip_tokens_tiny"), r"clip_tokens_tiny\.yaml: not computed from"),
        (lambda place: encode(place / "film.mp4", "clip_tiny", config=place), "name its folder: config="),
        (lambda place: features("demo", "clip_b32", place / "results"), "make it first: snakemake --cores all"),
    ],
)
def test_what_is_not_there_is_named_with_its_remedy(place, call, message):
    with pytest.raises(UserError, match=message):
        call(place)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, workflow_scripts; sys.exit(bool({'numpy', 'torch', 'pydantic'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The packages as pip installs them from a copy of the checkout, with nothing fetched."""
    pytest.importorskip("setuptools")
    copy, target = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("site")
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.in"):
        shutil.copyfile(ROOT / name, copy / name)
    for name in ("models", "workflow_scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--no-compile", "--disable-pip-version-check")
    run("pip", "install", *offline, "--quiet", "--target", target, copy, cwd=copy)
    return target


def files_in(folder: Path) -> set[str]:
    found = (path for name in ("models", "workflow_scripts") for path in (folder / name).rglob("*"))
    return {path.relative_to(folder).as_posix() for path in found if path.is_file() and path.suffix != ".pyc"}


def test_an_installation_has_every_file_of_the_packages_and_no_other_package(installed):
    assert files_in(installed) == files_in(ROOT)
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {
        "models",
        "workflow_scripts",
    }


def test_an_installation_says_that_it_needs_configuration_files_and_takes_those_of_a_checkout(installed, place):
    code = f"""
import workflow_scripts
assert workflow_scripts.__file__.startswith({str(installed)!r})
from workflow_scripts.lib.errors import UserError
try:
    workflow_scripts.encode("film.mp4", "clip_tiny")
except UserError as error:
    assert "Work in a checkout of the repository" in str(error)
    print(workflow_scripts.encode("film.mp4", "clip_tiny", config={str(ROOT / "config")!r}).values.shape)
"""
    environment = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.stdout, done.returncode) == ("(19, 128)\n", 0), done.stderr
