"""What pilot does: parse, call core, send."""
