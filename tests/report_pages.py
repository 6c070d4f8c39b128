"""What the script of a report's page gets to see."""

import json
from typing import Any


def data_of(text: str) -> dict[str, Any]:
    """Return the data of a page, as a browser would read them."""
    element = text.split('<script type="application/json" id="data">')[1].split("</script")[0]
    # An HTML parser sees nothing in it, so nothing that people wrote can become a tag.
    assert not set("<>&") & set(element)
    return json.loads(element)
