"""Who fails to authenticate again and again is refused for a while; and whoever an operator bans."""
