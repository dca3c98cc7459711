"""Predictions as one text, for the command line until it uses `emofuse.timeline.writers`."""

from __future__ import annotations

import io
from collections.abc import Sequence

from emofuse.timeline.prediction import Prediction
from emofuse.timeline.tables import labels_of
from emofuse.timeline.writers import open_writer


def render_predictions(predictions: Sequence[Prediction], form: str, *, colour: bool = False) -> str:
    """Format predictions as "table", "json" or "csv"; `colour` is for tables on a terminal."""
    stream = io.StringIO()
    with open_writer(stream, form, labels=labels_of(predictions), colour=colour) as writer:
        for prediction in predictions:
            writer.write(prediction)
    return stream.getvalue()
