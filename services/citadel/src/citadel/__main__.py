"""Start Citadel, make every first key and certificate, or seal keys anew: `python -m citadel [init|rekey ...]`."""

import sys


def main() -> int:
    """The exit status of the process."""
    if sys.argv[1:2] == ["init"]:
        from citadel.adapters.init_command import init

        return init(sys.argv[2:])
    if sys.argv[1:2] == ["rekey"]:
        from citadel.adapters.rekey_command import rekey

        return rekey(sys.argv[2:])
    from meshcore.runtime import run

    from citadel.adapters.composition import compose
    from citadel.settings import CitadelSettings

    return run(CitadelSettings, compose)


if __name__ == "__main__":
    sys.exit(main())
