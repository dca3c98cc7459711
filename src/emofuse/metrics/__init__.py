"""Scores, intervals, significance and calibration."""
