"""`python -m busbar`."""

from busbar.cli import main

main()
