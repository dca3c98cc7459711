"""Readers: one a corpus, or a family of them, each written against its owner's layout."""
