"""Following points of the picture through the shot."""
