"""The long-running collector: which channels it reads, what it counts, and how windows reach the lake."""
