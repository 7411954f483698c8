"""The convolutional network of the benchmarks that train one. Needs torch alone."""

from torch import nn


def smooth_cnn(num_hidden: int, num_labels: int) -> nn.Sequential:
    """Return a network for images [N, 3, 32, 32] float32; it gives logits [N, num_labels].

    It is smooth (no ReLU, no max-pooling): replies add up in another order on every engine, and where a rounding
    difference flips a choice, weights that should agree to 1e-7 differ by 1e-5.
    """
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 8 * 8, num_hidden),
        nn.GELU(),
        nn.Linear(num_hidden, num_labels),
    )
