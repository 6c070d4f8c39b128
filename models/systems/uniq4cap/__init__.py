"""UniQ4Cap: captions of videos from what is seen and heard."""
