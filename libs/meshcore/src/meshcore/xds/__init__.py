"""xDS as data: type URLs, names, resources, and the protocol's session as a pure object."""
