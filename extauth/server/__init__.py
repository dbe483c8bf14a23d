"""The check listener: HTTP, and the processes and sockets it runs in."""
