"""The bodies of the commands of ``vieweratlas``; ``cli`` has their options."""
