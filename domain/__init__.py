"""The rules of group buying: pure, typed, without I/O."""
