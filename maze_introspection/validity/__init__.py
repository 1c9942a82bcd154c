"""Is it true? Preceding offsets against chance, time, ground truth and cause; docs/validity.md has the answers."""
