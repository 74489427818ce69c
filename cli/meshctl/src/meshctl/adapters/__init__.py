"""What meshctl does: parse, call core, send."""
