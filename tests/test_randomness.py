import subprocess
import sys

import torch

from fedray.randomness import derive_seed, stream, torch_stream


def test_an_address_always_gives_the_same_numbers():
    assert stream(1, "client", 3, 4).random() == stream(1, "client", 3, 4).random()
    assert torch.equal(torch.rand(3, generator=torch_stream(1, "a")), torch.rand(3, generator=torch_stream(1, "a")))


def test_another_process_gives_the_same_numbers():
    code = "from fedray.randomness import derive_seed; print(derive_seed(7, 'client', 2))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(shown) == derive_seed(7, "client", 2)


def test_addresses_do_not_collide():
    addresses = [(0, "a", 1, 2), (0, "a", 12), (0, "a1", 2), (1, "a", 1, 2), (0, "a", "1", 2), (0,)]
    addresses += [(0, "client", i, j) for i in range(50) for j in range(50)]
    assert len({derive_seed(*address) for address in addresses}) == len(addresses)


def test_global_state_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    torch_stream(3, "x")
    stream(3, "x").random()
    assert torch.equal(torch.rand(1), expected)
