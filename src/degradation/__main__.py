"""`degradation` and `python -m degradation`."""

import sys


def main() -> None:
    """The command; Ctrl-C within the imports, which take seconds, has its line too."""
    try:
        from degradation.train import main as train
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        sys.exit(130)
    train()


if __name__ == "__main__":
    main()
