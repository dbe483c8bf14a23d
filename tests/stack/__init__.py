"""The containers of deploy/ on a real engine: the image as it is built, and the stack of compose.yaml."""
