"""Bundle adjustment: poses, points and lens from all observations at once."""
