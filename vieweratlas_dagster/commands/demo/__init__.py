"""The demo: the whole platform on a simulated Twitch, and the proof that its result is right.

Belongs here: starting the simulator and the collector, running the jobs, comparing the result with the
planted truth, the report. Does not belong here: anything that production needs.
"""
