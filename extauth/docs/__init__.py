"""The pages for those who use the API behind extauth, made from the settings in force."""
