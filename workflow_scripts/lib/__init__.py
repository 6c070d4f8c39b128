"""The library that the entry points call, one package per subject."""
