"""Leased work: Job rows in two lanes, run by workers that a message merely wakes."""
