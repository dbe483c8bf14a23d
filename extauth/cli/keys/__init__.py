"""`extauth keys …`: one file a few commands, and the group that holds them."""
