"""`python -m degradation`."""

from degradation.train import main

main()
