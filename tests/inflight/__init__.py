"""Requests in flight through real proxies: what the proxies report, and how many there are."""
