"""What of a channel's facts is shown: rules, and the pure functions that apply them."""
