"""Degraded recordings and transcripts, and how well systems do on them."""
