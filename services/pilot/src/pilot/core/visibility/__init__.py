"""What one proxy may see of the mesh: visibility, Sidecar scope, and which rule applies to which host. Pure."""
