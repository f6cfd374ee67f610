"""Rules over nodes: `compare` takes texts, `judge` the rules in their order."""
