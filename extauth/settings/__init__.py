"""What an operator can set: the model, its parsers, the loader of file and environment. Opens nothing."""
