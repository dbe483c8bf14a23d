"""What operators ask about checks and limits: why one is refused, how limits stand, whom one would hit."""
