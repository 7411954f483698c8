"""How fast GANs train, and what they learn on real tissue."""
