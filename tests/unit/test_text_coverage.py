"""What is said of texts that do not fit the times of their videos."""

import pytest

from workflow_scripts.lib.datasets.text_coverage import coverage_lines

CLIPS = [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, 8.0)]


@pytest.mark.parametrize(
    ("spans", "duration_s", "expected"),
    [
        (CLIPS, 8.0, []),
        # A rest that is shorter than a clip, and a last clip that sticks out.
        (CLIPS, 9.9, []),
        (CLIPS, 7.0, []),
        (CLIPS, 10.0, ["2 s without a text in 1 video (v: 8 to 10 s, for one)"]),
        (CLIPS[2:], 8.0, ["4 s without a text in 1 video (v: 0 to 4 s, for one)"]),
        ([CLIPS[0], CLIPS[3]], 12.0, ["8 s without a text in 1 video (v: 2 to 6 s, for one)"]),
        (CLIPS, 6.0, ["1 text past the end of 1 video (v: 6 to 8 s, for one), which counts for nothing"]),
        (CLIPS, 4.0, ["2 texts past the end of 1 video (v: 4 to 6 s, for one), which count for nothing"]),
        ([(0.0, 8.0), (1.0, 3.0)], 8.0, []),
    ],
)
def test_time_without_a_text_and_texts_past_the_end_are_counted(spans, duration_s, expected):
    assert coverage_lines({"v": spans}, {"v": duration_s}, every_clip=True) == expected


def test_all_videos_share_a_line_and_nobody_need_speak_all_the_time():
    spans = {"a": CLIPS, "b": CLIPS[1:], "c": CLIPS[1:]}
    durations_s = {"a": 6.0, "b": 8.0, "c": 2.0, "d": 5.0}
    gaps = "4 s without a text in 2 videos (b: 0 to 2 s, for one)"
    late = "4 texts past the end of 2 videos (a: 6 to 8 s, for one), which count for nothing"
    assert coverage_lines(spans, durations_s, every_clip=True) == [gaps, late]
    assert coverage_lines(spans, durations_s, every_clip=False) == [late]
