"""Policies of allocation: their rules against loops over single tiles, and what holds of any plan."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from fedray.config.allocation import POLICIES as DESCRIBED
from fedray.data.allocation import POLICIES, AllocationError, allocate, check_coverage

GIVING = [name for name in POLICIES if name != "none"]


def cases(num, seed=0):
    """Yield (counts [client, label, domain], stock [label, domain], budget): empty cells, twin clients."""
    random = np.random.default_rng(seed)
    for _ in range(num):
        shape = random.integers(1, [6, 5, 4])
        counts = random.integers(0, 30, shape) * (random.random(shape) < 0.6)
        if random.random() < 0.3:
            counts[-1] = counts[0]
        stock = random.integers(0, 40, shape[1:]) * (random.random(shape[1:]) < 0.8)
        budget = None if random.random() < 0.25 else int(random.integers(1, 200))
        yield counts, stock, budget


def claimed(policy, counts, stock):
    """Every cell's claim by the rule of the docstring, cell after cell, as fractions."""
    claims = {}
    for client, label, domain in itertools.product(*map(range, counts.shape)):
        own = counts[client]
        if policy == "balance":
            missing = int(own.sum(1).max() - own[label].sum())
            weights = [int(own[:, d].sum()) if stock[label, d] else 0 for d in range(own.shape[1])]
            claim = divided(weights, missing)[domain] if sum(weights) else 0
        elif policy == "cover":
            filled = np.count_nonzero(own)
            claim = int(np.ceil(Fraction(int(own.sum()), filled))) if filled and own[label, domain] == 0 else 0
        else:
            everyone = int(counts.sum())
            share = Fraction(int(counts[:, label, domain].sum()), everyone) if everyone else 0
            claim = max(Fraction(0), int(own.sum()) * share - int(own[label, domain]))
        claims[client, label, domain] = min(claim, int(stock[label, domain]))
    return claims


def divided(weights, num):
    """Hand out tile by tile to whoever is farthest below its exact share: Hamilton's method, told otherwise."""
    exact = [Fraction(weight * num, sum(weights)) for weight in weights]
    shares = [int(share) for share in exact]
    while sum(shares) < num:
        lacking = [
            share - whole if whole == int(share) else Fraction(-1) for share, whole in zip(exact, shares, strict=True)
        ]
        shares[lacking.index(max(lacking))] += 1
    return shares


def test_what_help_lists_is_what_there_is():
    assert list(DESCRIBED) == list(POLICIES)


@pytest.mark.parametrize("policy", GIVING)
def test_a_plan_meets_the_claims_of_the_rule(policy):
    for counts, stock, budget in cases(80, seed=1):
        claims = claimed(policy, counts, stock)
        total = sum(claims.values())
        num = int(total) if budget is None else min(budget, int(total))
        plan = allocate(policy, counts, stock, budget)
        assert plan.sum() == num, "no tile of the budget is lost while there are claims"
        for cell, claim in claims.items():
            exact = claim * num / total if total else 0
            assert abs(int(plan[cell]) - exact) < 1, (policy, cell, exact)
        if budget is None and policy != "proportional":
            assert all(plan[cell] == claim for cell, claim in claims.items())


@pytest.mark.parametrize("policy", POLICIES)
def test_budgets_are_kept_and_nothing_goes_where_nobody_needs_it(policy):
    for counts, stock, budget in cases(100, seed=2):
        plan = allocate(policy, counts, stock, budget)
        assert plan.dtype == np.int64 and plan.shape == counts.shape
        assert (plan >= 0).all() and (plan <= stock).all() and (budget is None or plan.sum() <= budget)
        needed = {
            "none": np.zeros(counts.shape, bool),
            "balance": (counts.sum(2) < counts.sum(2).max(1, keepdims=True))[:, :, None] & (counts.sum(1) > 0)[:, None],
            "cover": counts == 0,
            "proportional": counts * counts.sum() < counts.sum((1, 2))[:, None, None] * counts.sum(0),
        }[policy]
        assert not plan[~needed].any()


@pytest.mark.parametrize("policy", POLICIES)
def test_permuting_clients_permutes_the_plan(policy):
    random = np.random.default_rng(3)
    for counts, stock, budget in cases(100, seed=4):
        order = random.permutation(len(counts))
        plan, permuted = allocate(policy, counts, stock, budget), allocate(policy, counts[order], stock, budget)

        def rows(counts, plan):
            return sorted((a.ravel().tolist(), b.ravel().tolist()) for a, b in zip(counts, plan, strict=True))

        assert rows(counts, plan) == rows(counts[order], permuted)
        if len({row.tobytes() for row in counts}) == len(counts):
            assert (permuted == plan[order]).all(), "who is told apart by its counts gets the same in any place"


@pytest.mark.parametrize("policy", GIVING)
def test_a_larger_budget_hands_out_more_until_all_claims_are_met(policy):
    counts, stock, _ = next(case for case in cases(50, seed=5) if min(case[0].shape) > 2)
    most = allocate(policy, counts, stock)
    given = [int(allocate(policy, counts, stock, budget).sum()) for budget in range(1, int(most.sum()) + 20)]
    assert given == [min(budget, int(most.sum())) for budget in range(1, int(most.sum()) + 20)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        # 10 and 4 tiles of two labels, the first client's in the domains 0 and 1 as 1 to 1, the other's in 1 alone.
        ("balance", [[[0, 0], [3, 3]], [[0, 6], [0, 0]]]),
        # 14 tiles in 3 cells, and 14 in 2.
        ("cover", [[[0, 0], [0, 5]], [[7, 0], [7, 0]]]),
        # Of 28 tiles the cells have 3, 11, 4, 10; each client lacks 5: the second 1.5, 1.5 and 2.
        ("proportional", [[[0, 0], [0, 5]], [[2, 1], [2, 0]]]),
    ],
)
def test_by_hand(policy, expected):
    counts = np.array([[[3, 7], [4, 0]], [[0, 4], [0, 10]]])
    assert allocate(policy, counts, np.full((2, 2), 20)).tolist() == expected


def test_counts_beyond_64_bits_of_products_stay_exact():
    counts = np.zeros((3, 2, 1), np.int64)
    counts[:, 0, 0], counts[:, 1, 0] = [3_000_000_000, 2_000_000_000, 1], [0, 1, 3_000_000_000]
    plan = allocate("balance", counts, np.full((2, 1), 4_000_000_000), 4_500_000_000)
    assert plan.sum() == 4_500_000_000 and (plan >= 0).all()
    total = 3_000_000_000 + 1_999_999_999 + 2_999_999_999
    assert abs(int(plan[0, 1, 0]) - Fraction(3_000_000_000 * 4_500_000_000, total)) < 1


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("budget", [0, -3])
def test_a_budget_of_no_tile_is_refused(policy, budget):
    with pytest.raises(
        AllocationError, match=f"at least 1 tile .* got {budget}; raise classification.synthetic_per_real"
    ):
        allocate(policy, np.ones((2, 2, 1), np.int64), np.ones((2, 1), np.int64), budget)


def test_a_label_or_a_domain_that_nobody_has_is_named():
    counts, stock = np.ones((2, 3, 2), np.int64), np.ones((3, 2), np.int64)
    names = ("tumour", "stroma", "fat"), ("leica", "aperio")
    check_coverage(counts, stock, *names)
    with pytest.raises(AllocationError, match="no client has a training tile of label 'fat'"):
        check_coverage(counts * [[1], [1], [0]], stock, *names)
    nobodys = counts * [1, 0]
    with pytest.raises(AllocationError, match=r"of domain 'aperio', but classification\.synthetic has"):
        check_coverage(nobodys, stock, *names)
    check_coverage(nobodys, stock * [1, 0], *names)  # a domain held out for tests is no fault
