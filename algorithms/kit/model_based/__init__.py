"""Models of dynamics and reward, relabeling and planning."""
