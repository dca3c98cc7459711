"""From the rows of a recipe to batches."""
