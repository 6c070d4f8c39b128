"""The demo's event plans and the annotation files written from them."""

import hashlib
import itertools
import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.lib.datasets.demo import event_plan as plans
from workflow_scripts.lib.datasets.demo.event_plan import (
    Event,
    Look,
    picture_times,
    plan_demo,
    plan_digest,
    plan_video,
)
from workflow_scripts.lib.datasets.demo.phrases import PHRASES, VOICES
from workflow_scripts.lib.datasets.demo.sentences import (
    WORDS_VERSION,
    audiovisual_caption,
    main_sound,
    prompt,
    video_queries,
    visual_caption,
)
from workflow_scripts.lib.datasets.demo.sources import highlight_rows, hirest_entry, saliency, source_files

SMALL = {"train": 4, "val": 2, "test": 3}

# sha256 of the files for seed 0 and SMALL: these bytes must not depend on machine, Python or NumPy. Where they are
# meant to change, WORDS_VERSION does.
PINNED = {
    "highlight_train.jsonl": "f4ffcd928b7ba0a3a05ee78c2f7129bab1907157d7ee0e96ff4dd743f2b6d8d7",
    "hirest_train.json": "71eb00436ea823bddd0410ff2668469431bfc747e9df7d21ef487fc7f4bb736b",
    "captions_train.json": "57e50bea130d7361fd35b8df52f35cf35f15a6cf5de188ee64a69b1e09fa6f43",
    "highlight_val.jsonl": "f710f30701a5eb9a789b713c7a317ae25d5b2caa02b28321520b243a4b3bccc0",
    "hirest_val.json": "60525b3db227e38f4c91abd0b80760090a80a105d09aec4943e02297976f55a8",
    "captions_val.json": "f6928a4fe1e3a3c1c2214a4de28fb7d27a709da2b28d804368bd7b87302f03da",
    "highlight_test.jsonl": "b0aa766a819432efcb3dbb4d2df9a9ce27a9a2a01874b50b4f981dcb827507ac",
    "hirest_test.json": "38602c87a8fb061e5487765e881d488a23670318faa4623fe0a03dc7da9a64c6",
    "captions_test.json": "ab75d90698f1a4a21cc69a61b5abb359efe2869f2ddaec8f201f617f876352e0",
    "events.json": "98440eb5e041b39501552cf93faeaa39a503e15c5414c9b1881aa31025bccf4e",
}

any_video = st.builds(
    plan_video, st.integers(0, 2**40), st.sampled_from(plans.SPLITS), st.integers(0, plans.NO_AUDIO_INDEX + 40)
)


@settings(max_examples=60)
@given(any_video)
def test_events_are_in_order_within_the_video_and_of_legal_length(video):
    assert len(video.events) == 7
    now = 0
    for event in video.events:
        low = plans.LEAD_IN_CS[0] if now == 0 else plans.GAP_CS[0]
        high = plans.LEAD_IN_CS[1] if now == 0 else plans.GAP_CS[1]
        assert low <= event.start_cs - now <= high
        assert plans.EVENT_CS[0] <= event.end_cs - event.start_cs <= plans.EVENT_CS[1]
        now = event.end_cs
    assert plans.TAIL_CS[0] <= video.duration_cs - now <= plans.TAIL_CS[1]


@settings(max_examples=60)
@given(any_video)
def test_what_a_query_needs_is_what_its_kind_says(video):
    looks = Counter(event.look for event in video.events)
    sounds = Counter(event.sound for event in video.events)
    pairs = Counter((event.look, event.sound) for event in video.events)
    for event in video.events:
        alone = (looks[event.look] == 1, sounds[event.sound] == 1)
        if event.kind == "both":
            assert alone == (False, False)
            assert pairs[event.look, event.sound] == 1
        elif event.kind is not None:
            assert alone == (event.kind == "picture", event.kind == "sound")
    colours = {look.colour for look in looks}
    assert len(colours) == len(looks) == 4
    if video.has_audio:
        assert Counter(event.kind for event in video.events) == {"both": 3, "picture": 2, "sound": 2}
    else:
        assert {event.sound for event in video.events} == {None}
        assert Counter(event.kind for event in video.events) == {"picture": 2, None: 5}


@settings(max_examples=60)
@given(any_video)
def test_a_speech_query_is_asked_only_among_other_words(video):
    spoken = [query for query in video_queries(video) if query.kind == "speech"]
    phrases = [event.phrase for event in video.events if event.phrase is not None]
    assert len(set(phrases)) == len(phrases)
    assert len(spoken) == (len(phrases) if len(phrases) > 1 else 0)
    for query in spoken:
        assert f'"{video.events[query.event].phrase}"' in query.text


@settings(max_examples=60)
@given(any_video)
def test_queries_of_a_video_differ_and_are_short(video):
    texts = [query.text for query in video_queries(video)]
    assert len(set(texts)) == len(texts) <= 10
    assert max(len(text.split()) for text in texts) <= 17


@settings(max_examples=60)
@given(any_video)
def test_hirest_steps_touch_and_fill_a_moment_of_several_events(video):
    text, name, entry = hirest_entry(video)
    assert name == f"{video.video_id}.mp4"
    assert text.startswith("From ")
    if not entry["clip"]:
        assert (entry["bounds"], entry["steps"]) == ([0, 0], [])
        return
    bounds = [step["absolute_bounds"] for step in entry["steps"]]
    assert len(bounds) >= 2
    assert [bounds[0][0], bounds[-1][1]] == entry["bounds"]
    assert all(a[1] == b[0] for a, b in itertools.pairwise(bounds))
    assert entry["bounds"][1] - entry["bounds"][0] < 0.75 * entry["v_duration"]


@given(st.integers(0, 3000), st.integers(150, 350), st.integers(50, 300))
def test_saliency_covers_the_complete_clips_that_overlap(start, length, tail):
    duration = start + length + tail
    scores = saliency(start, start + length, duration)
    overlapping = [i for i in range(duration // 200) if i * 200 < start + length and start < (i + 1) * 200]
    assert list(scores) == overlapping
    assert [4, 4, 4] in scores.values()
    assert all(1 <= score <= 4 for triple in scores.values() for score in triple)


@settings(max_examples=60)
@given(any_video)
def test_frames_start_at_zero_and_end_with_the_video(video):
    times = picture_times(video)
    assert times[0] == 0
    assert times == sorted(set(times))
    assert abs(float(times[-1]) - video.duration_cs / 100) < 0.4


def test_a_prompt_names_the_events_by_what_tells_them_apart():
    video = plan_video(0, "train", 0)
    first = next(event for event in video.events if event.kind == "sound")
    last = next(event for event in video.events if event.kind == "picture")
    assert prompt(first, last) == "From a chord to a purple square"


def test_gaps_are_irregular():
    gaps = [b.start_cs - a.end_cs for video in plan_demo(0, {"train": 20}) for a, b in itertools.pairwise(video.events)]
    assert len(set(gaps)) > 50
    assert max(gaps) - min(gaps) > 75


def test_a_video_and_its_query_numbers_do_not_depend_on_the_others():
    few, many = plan_demo(5, {"train": 2, "test": 1}), plan_demo(5, {"train": 9, "val": 4, "test": 3})
    by_id = {video.video_id: video for video in many}
    for video in few:
        assert by_id[video.video_id] == video
    assert [row["qid"] for row in highlight_rows(few[-1])] == [
        row["qid"] for row in highlight_rows(by_id["demo_test_000"])
    ]


def test_query_numbers_are_unique_over_splits():
    numbers = [row["qid"] for video in plan_demo(0, SMALL) for row in highlight_rows(video)]
    assert len(set(numbers)) == len(numbers)


def test_another_seed_gives_other_events_and_another_digest():
    assert plan_video(0, "train", 0).events != plan_video(1, "train", 0).events
    assert plan_digest(plan_video(0, "train", 0)) != plan_digest(plan_video(1, "train", 0))


def test_train_and_test_have_a_silent_video_and_one_with_a_variable_frame_rate():
    videos = {video.video_id: video for video in plan_demo(0, SMALL)}
    for split in ("train", "test"):
        assert not videos[f"demo_{split}_001"].has_audio
        assert videos[f"demo_{split}_002"].frame_rate == "variable"
    assert all(
        video.has_audio for video in videos.values() if not video.video_id.endswith("_001") or video.split == "val"
    )


def test_every_frame_rate_is_an_exact_fraction_and_most_are_near_eight():
    assert {Fraction(rate) for rate in plans.FRAME_RATES} >= {Fraction(8), Fraction(25, 2), Fraction(8000, 1001)}


def test_every_phrase_fits_twice_into_an_event():
    for lengths in PHRASES.values():
        assert len(lengths) == len(VOICES)
        for length in lengths:
            assert plans.EVENT_CS[0] <= 2 * length + 20
            assert 2 * length + 80 <= plans.EVENT_CS[1]


def test_a_constant_answer_finds_few_of_the_moments():
    rows = [row for video in plan_demo(0, {"train": 100}) for row in highlight_rows(video) if row["kind"] != "speech"]
    spans = [row["relevant_windows"][0] for row in rows]
    best = 0.0
    for start in range(0, 28):
        for length in (2, 2.5, 3, 3.5):
            hits = 0
            for s, e in spans:
                inter = max(0.0, min(e, start + length) - max(s, start))
                hits += inter >= 0.5 * (length + e - s - inter)
            best = max(best, hits / len(spans))
    assert best < 0.13


def test_annotation_files_have_the_same_bytes_everywhere():
    files = source_files(plan_demo(0, SMALL))
    assert WORDS_VERSION == 2
    assert {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()} == PINNED


def test_a_caption_names_what_is_seen_and_what_is_heard_for_longest():
    looks = [Look("red", "circle", "left"), Look("blue", "background", "still"), Look("red", "circle", "left")]
    lengths, sounds = (200, 300, 150), ("siren", "low", "low")
    events = tuple(
        Event(0, length, look, sound, None, None, None, 0, 0)
        for length, look, sound in zip(lengths, looks, sounds, strict=True)
    )
    plan = replace(plan_demo(0, {"train": 1})[0], events=events)
    assert (visual_caption(plan), main_sound(plan)) == ("a red circle moving left", "low")
    assert audiovisual_caption(plan) == "a red circle moving left with a low tone"
    quiet = replace(plan, events=tuple(replace(event, sound=None) for event in events))
    assert audiovisual_caption(quiet) == "a red circle moving left"
    assert main_sound(quiet) is None


def test_the_event_file_holds_every_plan_with_its_digest():
    videos = plan_demo(0, SMALL)
    events = json.loads(source_files(videos)["events.json"])
    assert {name: entry["digest"] for name, entry in events.items()} == {v.video_id: plan_digest(v) for v in videos}
