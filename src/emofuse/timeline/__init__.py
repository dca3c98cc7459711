"""Recordings over time: their segments, who speaks in each, and predictions in the formats of other tools."""
