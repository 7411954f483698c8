"""FedRay's simulation engine against Flower's own, and against a plain loop."""
