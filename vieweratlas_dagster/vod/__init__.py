"""VOD chat without Dagster: finding past broadcasts, their queue, reading it, and imported chat files."""
