"""What a rule says that cannot be said where it is read. Pure."""


class Unfit(ValueError):
    """The attribute does not exist here, or the value is none of it; the text says why."""
