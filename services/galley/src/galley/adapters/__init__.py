"""What galley does: parse, call core, send."""
