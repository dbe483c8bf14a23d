"""The dashboard on the admin listener: sessions, what consumers and operators see, and its pages."""
