"""Whether an algorithm or a family of anyone's is what the suite expects, check by check, with what to do about it."""
