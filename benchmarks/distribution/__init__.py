"""What it costs to hand synthetic tiles out, and to train beside them: against Flower's engine and plain averaging."""
