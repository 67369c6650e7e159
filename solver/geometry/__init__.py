"""Two-view geometry, resection, triangulation: how a solve begins."""
