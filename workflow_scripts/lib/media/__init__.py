"""Videos on disk: probing, sampling rules, decoding of frames and sound."""
