"""Text to one tree of nodes: `clean` gives one spelling, `tokens` and `parser` read it, `answer` is the whole way."""
