"""The program: command line, candidates, execution, campaigns."""

__room_of__ = "softmax-harness"
