"""Traces of checks, for OpenTelemetry: each joins the trace in which the proxy asked."""
