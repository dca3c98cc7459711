"""Pretrained encoders: weights, text, speech, the speech recogniser and the speech detector."""
