"""What the measurement of QUAG on the demo compares."""

from tests.benchmarks.quag_demo import MEASURES, score_lines


def of(values):
    return {
        measure.rules: {"metrics": {measure.metric: value}} for measure, value in zip(MEASURES, values, strict=True)
    }


def plain(values):
    return {rules: section["metrics"] for rules, section in of(values).items()}


def test_every_task_stands_beside_its_floor_and_what_is_possible():
    run = {
        "rule_sets": of([60.0, 90.0, 400.0]),
        "baselines": {
            "best_constant": {"rule_sets": plain([15.0, 0.0, 0.0])},
            "floor": {"rule_sets": plain([0.0, 50.0, 80.0])},
        },
        "groups": {"speech": {"R@0.5": 70.0}},
        "ablations": {"speech": {"groups": {"speech": {"R@0.5": 10.0}}}},
    }
    moments, steps, captions, heard, unheard = score_lines([run, run])
    assert " ".join(moments.split()[-11:]) == "sd 0.0 floor 15.0: 4.00 times (goal 3, perfect answers 6.67)"
    assert "1.80 times (goal 2, perfect answers 2.00)" in steps
    assert "5.00 times (goal 5, perfect answers 12.50)" in captions
    assert (heard.split()[-3], unheard.split()[-3]) == ("70.0", "10.0")
