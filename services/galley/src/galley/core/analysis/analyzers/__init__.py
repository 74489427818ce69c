"""One module for each family of analyzers; each has functions from the set of objects to messages."""
