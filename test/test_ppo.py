import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from torch import nn

from maze_policy.config import NetworkConfig
from maze_policy.network import CnnLstm
from maze_policy.ppo import Eye, PpoPolicy


def test_sequences_without_the_loop_of_the_library():
    torch.manual_seed(1)
    lstm, boards, steps = nn.LSTM(6, 5), 3, 7
    features, memory = torch.randn(boards * steps, 6), (torch.randn(1, boards, 5), torch.randn(1, boards, 5))
    at_first, anywhere = torch.zeros(boards, steps), torch.zeros(boards, steps)
    at_first[1, 0] = anywhere[2, 4] = anywhere[0, 0] = 1.0
    results = []
    for starts in (at_first, anywhere):
        ours, (hidden, cell) = PpoPolicy._process_sequence(features, memory, starts.flatten(), lstm)
        theirs, after = RecurrentActorCriticPolicy._process_sequence(features, memory, starts.flatten(), lstm)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
        torch.testing.assert_close(torch.cat([hidden, cell]), torch.cat(after), rtol=0, atol=1e-6)
        results.append(ours)
    assert not torch.allclose(*results)


def test_black_images_are_looked_at_once_and_give_the_same():
    torch.manual_seed(2)
    network = CnnLstm(NetworkConfig(conv_channels=(4, 4, 4), features=16, n_l=16))
    images = torch.randint(0, 256, (7, 84, 84)).float()
    images[[1, 2, 6]] = 0.0
    eye, looked = Eye(None, network), []
    network.eye.register_forward_pre_hook(lambda _, given: looked.append(len(given[0])))
    whole = network.eye((images / 127.5 - 1.0).unsqueeze(1))
    torch.testing.assert_close(eye(images), whole, rtol=0, atol=1e-6)
    torch.testing.assert_close(eye(images[3:6]), whole[3:6], rtol=0, atol=1e-6)
    assert looked == [7, 5, 3]
    gradients = []
    for features in (eye(images), whole):
        network.zero_grad()
        features.square().sum().backward()
        gradients.append(network.eye[0].weight.grad.clone())
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-4)
