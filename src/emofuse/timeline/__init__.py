"""Predictions over the time of a recording."""
