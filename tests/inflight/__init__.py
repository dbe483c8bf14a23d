"""Requests in flight through real Envoy and nginx: what the proxies report, and how many there are."""
