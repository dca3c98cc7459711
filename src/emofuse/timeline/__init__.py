"""Recordings over time: their segments, and who speaks in each."""
