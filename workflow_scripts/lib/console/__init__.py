"""What a person sees of a workflow that runs: where it stands, what it warns of, what failed."""
