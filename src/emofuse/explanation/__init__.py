"""What moved an answer: words, stretches of audio, modalities; and its picture."""
