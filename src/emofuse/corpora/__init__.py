"""Corpora as tables of utterances: readers, labels, splits, composed pairs."""
