"""What crosses a service boundary, and the one way to start a service."""
