"""How far a run is."""

import sys


def told(name: str, value: float | None = None, unit: str = "") -> None:
    """How far a run is, for who waits for it."""
    print(f"  {name}" if value is None else f"    {name} {value:.1f} {unit}", file=sys.stderr, flush=True)
