"""Published systems, one package each; `interface.py` says what a system gives to the training loop."""
