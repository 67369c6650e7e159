"""What straight lines say of the camera: focal length, orientation, gravity."""
