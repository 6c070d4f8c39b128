"""Fetching what others publish: files, archives of videos or features, and videos of YouTube."""
