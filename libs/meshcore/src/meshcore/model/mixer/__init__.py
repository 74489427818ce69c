"""The kinds of Mixer (config.istio.io/v1alpha2): checked and stored. What a handler, instance or rule does is decided
where it is executed."""
