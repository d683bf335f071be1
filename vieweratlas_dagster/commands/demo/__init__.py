"""The demo: the whole platform on a simulated Twitch, with its result compared to the planted truth."""
