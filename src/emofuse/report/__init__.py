"""One self-contained page from the folder of a study, and its tables as CSV, Markdown and LaTeX."""
