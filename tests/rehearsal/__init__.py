"""A short run of everything at full size, with random weights and made inputs, before a long one is begun."""
