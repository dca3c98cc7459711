"""Studies: a grid of systems, folds, seeds and tasks, each cell of it a run."""
