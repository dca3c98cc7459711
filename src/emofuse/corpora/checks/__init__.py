"""What an audit checks, and what it needs for that: facts of decoded audio, near copies of sound and text."""
