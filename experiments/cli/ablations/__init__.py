"""Commands that run ablations and look at them."""
