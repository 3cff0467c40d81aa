"""The verbs of mirrors: make and change them (mirrors), run them (runs, planning), when they run by themselves (schedules)."""
