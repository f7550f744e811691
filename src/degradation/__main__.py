"""`degradation` and `python -m degradation`."""

import sys


def main() -> None:
    """The command; Ctrl-C within the imports, which take seconds, has its line too."""
    try:
        from degradation import distributed
        from degradation.command import main as train
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        sys.exit(130)
    try:
        train()
    except SystemExit as end:
        if isinstance(end.code, int):
            distributed.leave(end.code)
        raise


if __name__ == "__main__":
    main()
