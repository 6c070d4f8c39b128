"""Every check of every case folder under `--goldens` (see harness.py)."""


def test_reference_numbers_are_reproduced(check, data_path):
    check.run(data_path)
