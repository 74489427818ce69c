"""Start Citadel, or make every first key and certificate: `python -m citadel [init ...]`."""

import sys


def main() -> int:
    """The exit status."""
    if sys.argv[1:2] == ["init"]:
        from citadel.adapters.init_command import init

        return init(sys.argv[2:])
    return 2


if __name__ == "__main__":
    sys.exit(main())
