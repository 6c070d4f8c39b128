"""The encoders that need torch: a class each, which `load` of the module of the same name imports and returns."""
