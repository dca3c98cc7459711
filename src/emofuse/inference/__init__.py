"""Prediction without torch: bundles and the predictor."""
