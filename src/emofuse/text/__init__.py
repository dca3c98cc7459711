"""Words: summary embeddings and speech recognition."""
