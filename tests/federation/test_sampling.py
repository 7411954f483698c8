import pytest

from fedray.federation.sampling import sample_clients


@pytest.mark.parametrize(("num", "fraction", "expected"), [(10, 1.0, 10), (10, 0.25, 2), (10, 0.01, 1), (3, 0.5, 2)])
def test_the_rounded_fraction_is_drawn_and_at_least_one(num, fraction, expected):
    chosen = sample_clients(list(range(num)), fraction, seed=0, round_index=1)
    assert len(chosen) == len(set(chosen)) == expected


def test_the_draw_depends_on_seed_and_round_and_not_on_the_order_of_nodes():
    nodes = list(range(100))
    assert sample_clients(nodes, 0.1, 0, 1) == sample_clients(nodes[::-1], 0.1, 0, 1)
    assert sample_clients(nodes, 0.1, 0, 1) != sample_clients(nodes, 0.1, 0, 2)
    assert sample_clients(nodes, 0.1, 0, 1) != sample_clients(nodes, 0.1, 1, 1)


def test_every_client_is_as_likely_as_any_other():
    counts = dict.fromkeys(range(10), 0)
    for round_index in range(2000):
        for node in sample_clients(list(counts), 0.3, 0, round_index):
            counts[node] += 1
    assert all(abs(count - 600) < 100 for count in counts.values())  # 600 expected, standard deviation 20


def test_flowers_large_ids_stay_exact():
    nodes = [2**64 - 1, 2**63 + 1, 3]
    assert sample_clients(nodes, 1.0, 0, 1) == sorted(nodes)
