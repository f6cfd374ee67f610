"""Answer extraction, equivalence of answers, and the killable pool that grades."""
