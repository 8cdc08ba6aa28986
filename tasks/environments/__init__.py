"""The simulated environments, one file a body, batched over tasks; and each as a gymnasium environment."""
