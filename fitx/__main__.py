"""`python -m fitx`: the command `fitx`."""

from fitx.cli.main import main

if __name__ == "__main__":
    main()
