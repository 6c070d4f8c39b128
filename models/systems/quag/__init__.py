"""QUAG, and the joint baseline of HiREST that it extends: moments, steps and captions of how-to videos."""
