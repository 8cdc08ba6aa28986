"""Advantages, policy-gradient and recurrent losses of on-policy methods."""
