"""The running collector: which channels it reads, which lines it counts, and how windows reach the lake."""
