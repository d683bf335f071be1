"""Where results lie in the lake, and how tables and manifests are written and read."""
