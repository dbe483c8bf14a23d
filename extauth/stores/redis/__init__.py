"""Key records in Redis, shared by all servers that use it: alone, behind Sentinels, or a cluster."""
