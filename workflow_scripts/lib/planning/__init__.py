"""What the rules ask while the job graph is built; the only library package that they import."""
