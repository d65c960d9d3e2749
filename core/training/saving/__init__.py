"""What a training run saves: resume points, checkpoints, averaged weights, samples."""
