"""Entry points of the workflow's rules, the library packages they call, and what other programs import of these."""

from workflow_scripts.lib.api import encode, features

__all__ = ["encode", "features"]
