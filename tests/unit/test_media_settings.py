"""Sampling and resize settings of a feature file agree with the rules themselves."""

import inspect
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from workflow_scripts.lib.configuration.recipe import sampling_name
from workflow_scripts.lib.configuration.schema import SAMPLING_OPTIONS, Resize, Sampling, VisualFeature
from workflow_scripts.lib.media.media_error import MediaError
from workflow_scripts.lib.media.resize import RESIZE_RULES, resize_for
from workflow_scripts.lib.media.sampling import RULES, FrameTimes, plan_frames

EXAMPLES = [
    {"rule": "ffmpeg_fps", "rate": "2/3", "short_clip_guard": True},
    {"rule": "seek_per_second"},
    {"rule": "seek_per_second", "rate": "1/2"},
    {"rule": "lavis_head", "n_frames": 3},
    {"rule": "lavis_uniform", "n_frames": 3},
    {"rule": "linspace", "n_frames": 3},
    {"rule": "linspace_clip", "n_frames": 3},
    {"rule": "linspace_clip", "n_frames": 3, "window_s": "1/2"},
    {"rule": "hero_clips", "clip_s": "3/2", "end": "int"},
    {"rule": "windows", "window": 4, "tail": "shift_back", "rate": "24"},
    {"rule": "windows", "window": 8, "stride": 3, "tail": "pad", "n_frames": 4},
    {"rule": "windows", "window": 4, "tail": "shift_back", "skip_last": True, "block": 10},
    {"rule": "i3d_chunks"},
    {"rule": "i3d_chunks", "rate": "25"},
]
MEDIA = FrameTimes(np.arange(90), Fraction(1, 30), 0, 90, 3.0, True, Fraction(30))


def feature(sampling: dict) -> VisualFeature:
    return VisualFeature.model_validate(
        {
            "description": "x",
            "kind": "visual",
            "encoder": "x",
            "weights": "none",
            "sampling": sampling,
            "resize": {"rule": "hero", "size": 8},
        }
    )


def test_every_rule_can_be_written_and_has_an_example():
    assert set(get_args(Sampling.model_fields["rule"].annotation)) == set(RULES) == set(SAMPLING_OPTIONS)
    assert {example["rule"] for example in EXAMPLES} == set(RULES)
    assert set(get_args(Resize.model_fields["rule"].annotation)) == set(RESIZE_RULES)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_option_of_a_rule_can_be_written(rule):
    needed, allowed = SAMPLING_OPTIONS[rule]
    assert {name for example in EXAMPLES if example["rule"] == rule for name in example} == needed | allowed | {"rule"}


@pytest.mark.parametrize("rule", sorted(RULES))
def test_options_and_defaults_are_those_of_the_function(rule):
    needed, allowed = SAMPLING_OPTIONS[rule]
    parameters = {name: p.default for name, p in list(inspect.signature(RULES[rule]).parameters.items())[1:]}
    assert set(parameters) == needed | allowed
    assert {name for name, default in parameters.items() if default is inspect.Parameter.empty} == needed
    for name in allowed:
        stated = Sampling.model_fields[name].default
        assert stated is None or str(stated) == str(parameters[name])


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_written_settings_plan_frames(example):
    settings = Sampling.model_validate(example)
    plan = plan_frames(settings.model_dump(mode="json"), MEDIA)
    assert np.array_equal(plan.frame_idx, plan_frames(example, MEDIA).frame_idx)
    assert Sampling.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
@given(
    gaps=st.lists(st.integers(1, 3000), min_size=2, max_size=60),
    rate=st.sampled_from([Fraction(5), Fraction(25), Fraction(30000, 1001)]),
    shift=st.integers(-(10**7), 10**7),
    delay=st.integers(0, 2000),
)
def test_every_written_rule_ends_stays_in_range_and_ignores_the_start_at_a_variable_rate(
    example, gaps, rate, shift, delay
):
    rule = Sampling.model_validate(example).model_dump(mode="json")
    ticks = np.cumsum([0, *gaps]) + delay
    duration_s = float(sum(gaps)) / 1000

    def plan(offset):
        times = FrameTimes(
            ticks[:-1] + offset, Fraction(1, 1000), offset, int(ticks[-1]) + offset, duration_s, True, rate
        )
        return plan_frames(rule, times)

    try:
        found = plan(0)
    except MediaError:
        with pytest.raises(MediaError):
            plan(shift)
        return
    moved = plan(shift)
    np.testing.assert_array_equal(found.frame_idx, moved.frame_idx)
    np.testing.assert_array_equal(found.times, moved.times)
    assert np.all((found.frame_idx >= 0) & (found.frame_idx < len(gaps)))
    assert np.all(found.times[:, 0] < found.times[:, 1])
    assert np.all(np.diff(found.times[:, 0]) >= 0)
    n_rows = len(found.frame_idx) if found.frames_per_row is None else len(found.frames_per_row)
    assert len(found.times) == n_rows
    rows = np.split(found.frame_idx, np.cumsum(found.frames_per_row)[:-1]) if found.frames_per_row is not None else []
    newest = [row.max() for row in rows] if n_rows and rows else found.frame_idx
    assert np.all(np.diff(newest) >= 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "ffmpeg_fps"}, "needs rate"),
        ({"rule": "windows"}, "needs window"),
        ({"rule": "lavis_head", "n_frames": 3, "rate": "1"}, "has no option rate; it has n_frames"),
        ({"rule": "ffmpeg_fps", "rate": "1", "tail": "pad"}, "has no option tail"),
    ],
)
def test_options_of_another_rule_are_errors(settings, message):
    with pytest.raises(ValidationError, match=message):
        Sampling.model_validate(settings)


def test_a_default_of_another_rule_does_no_harm_so_that_a_file_can_be_extended():
    assert Sampling.model_validate({"rule": "windows", "window": 4, "short_clip_guard": False, "n_frames": None})


def test_recipes_hold_only_what_the_rule_reads():
    sampling = feature({"rate": 2}).model_dump(mode="json")["sampling"]
    assert sampling == {"rule": "ffmpeg_fps", "rate": "2", "short_clip_guard": False}
    assert feature({"rate": 2}).model_dump(mode="json")["resize"] == {"rule": "hero", "size": 8}


def test_folder_names_of_plans_tell_rules_apart():
    names = [sampling_name(feature(example)) for example in EXAMPLES]
    assert len(set(names)) == len(names)
    assert "windows-rate-24-tail-shift_back-window-4" in names


@pytest.mark.parametrize("rule", sorted(RESIZE_RULES))
def test_written_resize_settings_are_taken(rule):
    settings = Resize.model_validate({"rule": rule, "size": 16})
    assert resize_for(settings.model_dump(mode="json"), 40, 30).size == 16


def test_jpeg_belongs_to_rules_on_native_frames():
    settings = Resize.model_validate({"rule": "clip_pil", "size": 16, "jpeg_roundtrip": True})
    assert resize_for(settings.model_dump(mode="json"), 40, 30).jpeg
    with pytest.raises(ValidationError, match="clip_pil has"):
        Resize.model_validate({"rule": "hero", "size": 16, "jpeg_roundtrip": True})
