"""`python -m arbitrade`."""

from arbitrade.cli import main

if __name__ == "__main__":
    main()
