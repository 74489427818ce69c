"""The commands: each reads its options, calls core and adapters, and prints."""
