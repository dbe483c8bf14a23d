"""Real Envoy and real nginx with the shipped files, before the real service. Nothing here imports extauth."""
