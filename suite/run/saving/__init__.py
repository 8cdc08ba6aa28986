"""What a training keeps on disk to go on from: checkpoints, log segments, and what is done about damaged ones."""
