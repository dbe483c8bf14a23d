"""The dashboard: sessions, rights, what pages are told, and how they are kept up to date."""
