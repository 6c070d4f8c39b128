"""Networks that no package on the Python index gives us in the form we need."""
