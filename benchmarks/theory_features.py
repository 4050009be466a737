"""What features that are fixed before training can represent, in squared and in 0/1 loss."""

import math
from itertools import product

import numpy as np

ERROR = 0.1


def questions(n):
    """All rows of n bits, `[2**n, n]`."""
    return np.arange(2**n)[:, None] >> np.arange(n) & 1


def characters(q, n):
    """Values of all characters of Z_q^n, `[questions, characters]`; of Z_2^n a Hadamard matrix."""
    x = np.array(list(product(range(q), repeat=n)))
    found = np.exp(2j * np.pi * (x @ x.T % q) / q)
    return found.real.round() if q == 2 else found


def mean_error(features, targets, chances):
    """Squared error of the best readout, mean over the targets, and the rank of the features.

    Args:
        features: `[questions, D]`.
        targets: `[questions, targets]`, each of mean square 1.
        chances: Probabilities of the questions.
    """
    root = np.sqrt(chances)[:, None]
    basis, scale, _ = np.linalg.svd(root * features, full_matrices=False)
    basis = basis[:, scale > 1e-9 * scale[0]]
    kept = np.abs(basis.conj().T @ (root * targets)) ** 2
    return 1 - kept.sum() / targets.shape[1], basis.shape[1]


def relu_features(n, width):
    """Random ReLU features of all rows of n bits, `[2**n, width]`."""
    rng = np.random.default_rng([n, width])
    inner = (2 * questions(n) - 1) @ rng.standard_normal((n, width)) / math.sqrt(n)
    return np.maximum(inner + rng.standard_normal(width), 0)


def squared(count):
    """Features without which the mean squared error over all characters is above a tenth."""
    return math.ceil(round((1 - ERROR) * count, 6))


def sign_factors():
    """Features `[4, 3]` of two bits and weights `[3, 4]` with the signs of their four parities.

    From the Hadamard matrix half of the product of two rows of signs is taken away: that
    leaves every entry its sign, and one dimension less.
    """
    signs = np.array([1, 1, 1, -1])
    left, scale, right = np.linalg.svd(characters(2, 2) - np.outer(signs, signs) / 2)
    return left[:, :3] * scale[:3], right[:3]


def sign_features(n):
    """Features `[2**n, 3**(n/2)]` and weights whose products have the signs of all parities."""
    features, weights = factors = sign_factors()
    for _ in range(n // 2 - 1):
        features, weights = np.kron(features, factors[0]), np.kron(weights, factors[1])
    return features, weights


def sign_lower(count, error=0.0):
    """Features without which signs err more often on so many questions, mean over parities."""
    return math.ceil(round(1 / (1 / math.sqrt(count) + 2 * error), 6))


def degree_error(n, degree):
    """Share of rows of n bits on which a polynomial of their sum with this degree misses parity.

    Its sign changes at `degree` neighbouring sums, and beyond is right at every other one.
    """
    share = [math.comb(n, i) * 0.5**n for i in range(n + 1)]
    return min(
        sum(share[i] for i in range(first) if (first - i) % 2)
        + sum(share[i] for i in range(first + degree, n + 1) if (i - first - degree) % 2)
        for first in range(n + 1)
    )


def sign_upper(n):
    """Monomials that give each parity of up to n bits the right sign but for a tenth."""
    degree = 0
    while max(degree_error(m, degree) for m in range(1, n + 1)) > ERROR:
        degree += 1
    return sum(math.comb(n, i) for i in range(degree + 1))


def number(value):
    """Write a count, a large one with two digits."""
    return (
        f"{value:,}"
        if value < 10**8
        else f"{float(value):.1e}".replace("e+0", "e").replace("e+", "e")
    )


def losses(sizes=(8, 16, 32, 64)):
    """Rows: leaves, and features for all parities by what is asked of them."""
    for n in sizes:
        exact = 3 ** (n // 2)
        counts = (squared(2**n), sign_lower(2**n), exact, sign_lower(2**n, ERROR),
                  min(exact, sign_upper(n)))  # fmt: skip
        yield (f"{n}", *map(number, counts))


def relu_error(n, width):
    """Mean squared error of random ReLU features over all parities of n bits."""
    return mean_error(relu_features(n, width), characters(2, n), np.full(2**n, 0.5**n))[0]
