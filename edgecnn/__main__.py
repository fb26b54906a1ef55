"""`python -m edgecnn`: the same as the `edgecnn` command, which begins here."""

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of the `edgecnn` command; loading the commands takes seconds on a board."""
    try:
        from edgecnn.cli.main import main as run

        run()
    except KeyboardInterrupt:  # before or after a command, which says it by itself
        sys.stderr.write("edgecnn: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
