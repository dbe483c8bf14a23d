"""How proxies report that a request ended, so that its lease is freed."""
