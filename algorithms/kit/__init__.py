"""What algorithms share: networks, replay, losses, the context model, relabeling. Pure torch and numpy."""
