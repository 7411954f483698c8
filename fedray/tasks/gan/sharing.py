"""Which parts of a GAN travel, and which stay with each client."""

from fedray.config import FederationConfig
from fedray.tasks.gan.gan import DISCRIMINATOR_PARTS, GENERATOR_PARTS, PARTS

SHARED_PARTS: dict[str, tuple[str, ...]] = {
    "both": PARTS,
    "generator": GENERATOR_PARTS,
    "discriminator": DISCRIMINATOR_PARTS,
}


def shared_parts(federation: FederationConfig) -> tuple[str, ...]:
    """Parts of the GAN that the server has: it averages them, or (MD-GAN) trains them itself."""
    return GENERATOR_PARTS if federation.mode == "md-gan" else SHARED_PARTS[federation.aggregate]


def private_parts(federation: FederationConfig) -> tuple[str, ...]:
    """Parts of the GAN that stay with each client."""
    return tuple(part for part in PARTS if part not in shared_parts(federation))
