"""Transparent capture: netfilter, routes, namespaces and the kernel's addresses."""
