"""The places of results in the lake, and the reading and writing of tables and manifests."""
