"""Training: data, losses, the Lightning module, the run folder."""
