"""Channels: their packages, their index, and the doors that conda's and Quetz's clients come through."""
