"""The Gateway API's kinds (gateway.networking.k8s.io): accepted, checked and stored. What they say together is
Galley's to check, what they do is Pilot's."""
