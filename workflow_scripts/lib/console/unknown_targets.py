"""A target that no rule makes is answered in our words: Snakemake says only that there is no rule."""

import logging
import re
from collections.abc import Callable

NO_RULE = re.compile(
    r"MissingRuleException:\s*No rule to produce (?P<target>.+?) \(if you use input functions.*", re.DOTALL
)
"""What Snakemake says then."""


def answer_unknown_targets(logger: logging.Logger, hint: Callable[[str], str]) -> None:
    """Change what a logger says of an unknown target.

    Parameters
    ----------
    logger : that of Snakemake
    hint : target -> what a person may have meant
    """

    def answer(record: logging.LogRecord) -> bool:
        match = NO_RULE.search(str(record.msg))
        if match:
            record.msg = f"error: {match['target']}: no such target; {hint(match['target'])}"
        return True

    logger.addFilter(answer)
