"""From tracks to cameras and points: a seed, its growth over the shot, the final adjustment."""
