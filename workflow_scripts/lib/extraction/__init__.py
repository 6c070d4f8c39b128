"""What the extraction jobs share: settings files, weights on disk, and batches that span videos."""
