"""extauth answers a proxy's question: is this key valid, may it do this, is it within its limits?"""

__version__ = "0.1.0.dev0"
