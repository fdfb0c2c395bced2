"""Where face images come from: detection, alignment, folders, manifests and the face world."""
