"""FedRay against Apple's pfl-research, on the same task."""
