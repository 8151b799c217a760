"""`python -m minigrad.models`: the command `minigrad`, also where its script is not on the PATH."""

from minigrad.models.cli import main

if __name__ == "__main__":
    main()
