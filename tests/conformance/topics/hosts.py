"""Host names."""

from meshcore.hosts import host_matches, hosts_for_namespace, hosts_overlap, intersection, specificity

TOPICS = {
    "host-matches": lambda given: hosts_overlap(given["a"], given["b"]),
    "host-subset-of": lambda given: host_matches(given["b"], given["a"]),
    "host-intersection": lambda given: list(intersection(given["a"], given["b"])),
    "host-for-namespace": lambda given: list(hosts_for_namespace(given["hosts"], given["namespace"])),
    "host-sort": lambda given: sorted(given["hosts"], key=specificity),
    # two empty names are each as specific as the other
    "host-more-specific": lambda given: (
        not (given["a"] or given["b"]) or specificity(given["a"]) < specificity(given["b"])
    ),
}
