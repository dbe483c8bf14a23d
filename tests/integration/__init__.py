"""Real proxies with the shipped files, before the real service. Nothing here imports extauth."""
