"""`python -m emofuse` is the command line."""

from emofuse.cli import main

if __name__ == "__main__":  # processes that it starts import it too
    main()
