"""Certificate authority and trust bundles of the mesh."""
