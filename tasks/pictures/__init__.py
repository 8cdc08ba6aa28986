"""Pictures of splits and bodies, and films."""
