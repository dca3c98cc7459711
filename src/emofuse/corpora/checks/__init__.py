"""The checks of an audit, and the searches for near copies of audio and sentences that they use."""
