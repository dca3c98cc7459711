"""`python -m emofuse` is the command line."""

from emofuse.cli import main

main()
