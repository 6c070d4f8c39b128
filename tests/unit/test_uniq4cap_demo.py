"""What the measurement of UniQ4Cap on the demo counts."""

import math

from tests.benchmarks.uniq4cap_demo import Named, score_lines, sound_lines, sound_words


def test_a_sound_counts_where_it_is_named_and_where_it_should_be():
    references = {"v": ["a blue screen with a low tone", "a siren"], "w": ["a circle"]}
    answers = [
        {"video_id": "v", "text": "a red screen, with a low tone and clicks"},
        {"video_id": "w", "text": "a circle with a low tone"},
    ]
    found = sound_words(answers, references)
    assert found["a low tone"] == Named(2, 1, 1)
    assert (found["a low tone"].precision, found["a low tone"].recall) == (0.5, 1.0)
    assert found["a siren"] == Named(0, 1, 0)
    assert math.isnan(found["a siren"].precision)
    assert found["clicks"] == Named(1, 0, 0)
    lines = sound_lines([found, found])
    assert lines[-1].split() == ["all", "said", "6", "there", "4", "precision", "0.33", "recall", "0.50"]


def test_scores_stand_beside_the_floor_and_what_is_possible():
    run = {
        "metrics": {"CIDEr": 300.0},
        "ablations": {"audio": {"metrics": {"CIDEr": 150.0}}},
        "baselines": {"floor": {"metrics": {"CIDEr": 100.0}}},
    }
    lines = score_lines([run, run | {"metrics": {"CIDEr": 500.0}}])
    assert lines[0] == "CIDEr, perfect captions: 1000, 10.0 times the floor"
    assert lines[1].split()[-4:] == ["4.00", "times", "the", "floor"]
    assert "mean   400.0" in lines[1]
    assert "audio set to zero" in lines[2]
