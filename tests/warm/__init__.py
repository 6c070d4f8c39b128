"""Runs Snakemake and its jobs as forks of one process that has their libraries loaded, for tests that call both often.

What is run is the same: `Workflow.start` gets a process group with a Snakemake in it, and every `python -m
workflow_scripts.X` of a job runs that module as `__main__`, with the job's folder, environment and streams. Libraries
alone are imported beforehand, never a module of ours, so that a test may change a copy of the code.
"""
