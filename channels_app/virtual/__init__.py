"""Virtual channels: an ordered union of channels shown as one, in which every package name belongs to one of them."""
