# What a call says: a short view of the jobs, an answer to targets that nobody makes, results at the end; no rule.
from snakemake.logging import logger

from workflow_scripts.lib.console.unknown_targets import answer_unknown_targets
from workflow_scripts.lib.console.view import take_console

SAID = workflow.output_settings


def print_results():
    """Print the tables and answers that this call was asked for."""
    # What it needs is of no use to a call that plans.
    from workflow_scripts.lib.reporting.call_results import results_text

    text = results_text(workflow.dag.derived_targetfiles)
    if text:
        print(text, flush=True)


onsuccess:
    print_results()


if workflow.is_main_process:
    answer_unknown_targets(logger, PLAN.targets.hint)
    # Whoever asks for more, for less or for a plan gets Snakemake's lines.
    if not (
        SAID.verbose
        or SAID.printshellcmds
        or SAID.dryrun
        or SAID.quiet
        or SAID.debug_dag
    ):
        take_console(logger, print_results)
