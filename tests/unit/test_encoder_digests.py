"""Changing an encoder's code asks for a decision: new numbers (raise RECIPE_VERSION) or not (accept the digest)."""

import json

import pytest

from tests.encoder_digests import RECORD, current

RECORDED = json.loads(RECORD.read_text())


@pytest.mark.parametrize("encoder", sorted(current()))
def test_numbers_may_have_changed_bump_recipe_version_or_accept_the_digest(encoder):
    found, recorded = current()[encoder], RECORDED.get(encoder)
    assert recorded is not None, f"new encoder {encoder}: run `make accept-digest`"
    assert found == recorded, (
        f"the code of {encoder} changed. If its numbers may have changed, raise RECIPE_VERSION in "
        f"models/encoders/{encoder}.py; then (or if they have not) run `make accept-digest`"
    )
