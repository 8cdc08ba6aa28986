"""Pictures of splits and bodies, and videos of episodes."""
