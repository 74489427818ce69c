"""What injector does: parse, call core, send."""
