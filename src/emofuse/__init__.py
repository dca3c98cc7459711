"""Speech emotion recognition from voice and words together."""

__version__ = "0.1.0"
