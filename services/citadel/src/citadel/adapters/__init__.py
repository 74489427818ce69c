"""What citadel does: parse, call core, send."""
