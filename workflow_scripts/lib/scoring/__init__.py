"""From canonical tables and submission files to numbers: questions, answers, rule sets, intervals, tables."""
