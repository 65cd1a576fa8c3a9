"""torchmetrics of every kind of value."""
