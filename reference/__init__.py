"""What is true: formats, the exact softmax, ULP errors and a-priori bounds."""

__room_of__ = "softmax-harness"
