import hostile
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from maze_policy.checkpoint import CheckpointError, load_card, load_policy, network_of
from maze_policy.cli import main
from maze_policy.config import NetworkConfig
from maze_policy.import_checkpoint import ImportConfig, import_checkpoint, sizes, try_out, with_our_names
from maze_policy.network import CnnLstm

torch.set_num_threads(1)
SMALL = NetworkConfig(conv_channels=(2, 3, 4), features=8, n_l=6)
RENAME = (
    'encoder.conv1=eye.0',
    'encoder.conv2=eye.2',
    'encoder.conv3=eye.4',
    'encoder.fc=eye.7',
    'rnn=lstm',
    'pi=actor',
)


class Theirs(nn.Module):
    """The same network as somebody else would write it."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleDict(
            {
                'conv1': nn.Conv2d(1, 2, 8, 4),
                'conv2': nn.Conv2d(2, 3, 4, 2),
                'conv3': nn.Conv2d(3, 4, 3, 1),
                'fc': nn.Linear(4 * 7 * 7, 8),
            }
        )
        self.rnn = nn.LSTM(8, 6)
        self.pi = nn.Linear(6, 5, bias=False)
        self.critic = nn.Linear(6, 1)

    def forward(self, images):
        x = images[:, None].float() / 127.5 - 1
        for name in ('conv1', 'conv2', 'conv3'):
            x = torch.relu(self.encoder[name](x))
        x = torch.relu(self.encoder['fc'](x.flatten(1)))
        return self.pi(self.rnn(x[:, None])[0][:, 0])


@pytest.fixture
def theirs():
    torch.manual_seed(3)
    return Theirs()


def scores(network, images):
    memory, found = network.initial_memory(), []
    for image in images:
        step = network.step(image, memory)
        memory = step.memory
        found.append(step.scores)
    return np.stack(found)


def test_somebody_elses_network_plays_as_it_did(theirs, tmp_path):
    file, out = tmp_path / 'theirs.pt', tmp_path / 'ours.safetensors'
    content = {'epoch': 3, 'model': {'module': theirs.state_dict()}}
    torch.save(content, file)
    import_checkpoint(file, out, ImportConfig(rename=RENAME, leave_out=('model.module.critic',)))
    images = np.random.default_rng(0).integers(0, 256, (20, 84, 84), dtype=np.uint8)
    network = load_policy(out)
    assert network.config == SMALL
    with torch.inference_mode():
        np.testing.assert_allclose(scores(network, images), theirs(torch.from_numpy(images)).numpy(), atol=1e-5)
    card = load_card(out)
    assert card['method'] == 'imported'
    assert card['file'] == 'theirs.pt'
    assert card['import']['rename'] == list(RENAME)


def test_the_command_line_takes_a_file_in_and_says_what_it_is(tmp_path, capsys):
    file, out = tmp_path / 'policy.pth', tmp_path / 'mine.safetensors'
    torch.save(CnnLstm(SMALL).state_dict(), file, _use_new_zipfile_serialization=False)
    assert main(['import', str(file), '--out', str(out)]) == 0
    assert '"n_l": 6' in capsys.readouterr().out
    assert main(['import', str(file), '--out', str(out)]) == 2
    assert 'want a new NAME.safetensors' in capsys.readouterr().err


@pytest.mark.promise('Checkpoints', 'malicious pickles given to the import: refused, none executed', quick=1, full=30)
def test_malicious_pickles(promise, tmp_path):
    canary, out = tmp_path / 'canary', tmp_path / 'out.safetensors'
    evil = list(hostile.pickles(canary).items())
    for seed in promise.times():
        name, content = evil[-1 - seed]  # torch's own formats first
        file = tmp_path / f'evil{hostile.SUFFIXES[seed % len(hostile.SUFFIXES)]}'
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match='want a file with weights alone; reading it ended with'):
            import_checkpoint(file, out, ImportConfig())
        assert not canary.exists(), name
        assert sorted(path.name for path in tmp_path.iterdir()) == [file.name], name
        file.unlink()


def test_a_small_file_that_stands_for_much_memory_is_refused(tmp_path):
    file = tmp_path / 'bomb.pt'
    torch.save({'lstm.weight_hh_l0': torch.zeros(1).expand(10_000_000_000)}, file)
    assert file.stat().st_size < 10_000
    with pytest.raises(CheckpointError, match=r'reading it ended with RuntimeError: .*allocate'):
        import_checkpoint(file, tmp_path / 'out.safetensors', ImportConfig(memory_mb=500))


def named(**changes):
    state = CnnLstm(SMALL).state_dict()
    return {**state, **changes}


def test_their_order_of_gates_becomes_ours():
    state = CnnLstm(SMALL).state_dict()
    shuffled = {
        name: torch.cat([value.chunk(4)['ifgo'.index(gate)] for gate in 'iofg']) if name.startswith('lstm') else value
        for name, value in state.items()
    }
    back = with_our_names(shuffled, ImportConfig(gates='iofg'))
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_half_precision_and_a_bias_of_zeros_are_taken():
    state = {name: value.half() for name, value in named(**{'actor.bias': torch.zeros(5)}).items()}
    ours = with_our_names(state, ImportConfig())
    assert {value.dtype for value in ours.values()} == {torch.float32}
    assert sizes(ours) == SMALL
    assert 'actor.bias' not in ours


@pytest.mark.parametrize(
    ('changes', 'config', 'message'),
    [
        ({'actor.bias': torch.ones(5)}, {}, 'want actor.bias of None, got'),
        ({'critic.weight': torch.ones(5)}, {}, 'want critic.weight of None, got'),
        ({'steps': torch.tensor(5)}, {}, 'want floating-point weights, got torch.int64 in steps'),
        ({'actor.weight': torch.zeros(7, 6)}, {}, 'want actor.weight with a row for each of 5 actions, got 7'),
        ({'actor.weight': torch.zeros(5)}, {}, r'want actor.weight \(see --rename\), got'),
        ({'lstm.bias_hh_l0': torch.full((24,), torch.nan)}, {}, 'want finite weights'),
        ({'other.weight': torch.zeros(5, 6)}, {'rename': ('other=actor',)}, 'want each name once, got actor.weight'),
        ({}, {'rename': ('lstm=rnn',)}, r'want lstm.weight_hh_l0 \(see --rename\), got .*rnn.weight_hh_l0'),
        ({}, {'leave_out': ('lstm.bias_ih_l0',)}, 'want lstm.bias_ih_l0 of .*, got None'),
        ({'eye.0.weight': torch.zeros(600, 1, 8, 8)}, {}, 'conv_channels wants 1 to 512, got 600'),
    ],
)
def test_what_does_not_fit_is_named(changes, config, message):
    def taken():
        ours = with_our_names(named(**changes), ImportConfig(**config))
        return network_of(sizes(ours), ours, 'theirs.pt')

    with pytest.raises(CheckpointError, match=message):
        taken()


def test_of_a_file_that_is_not_taken_nothing_is_left(tmp_path):
    file, out = tmp_path / 'theirs.safetensors', tmp_path / 'out.safetensors'
    file.write_bytes(safetensors.torch.save(named(extra=torch.zeros(1))))
    with pytest.raises(CheckpointError, match=r'theirs\.safetensors: want extra of None'):
        import_checkpoint(file, out, ImportConfig())
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'gates': 'ifg'}, "gates wants the letters i, f, g and o in their order, got 'ifg'"),
        ({'rename': ('a',)}, "rename wants THEIRS=OURS, got 'a'"),
        ({'rename': ('=a',)}, "rename wants THEIRS=OURS, got '=a'"),
    ],
)
def test_bad_options(config, message):
    with pytest.raises(ValueError, match=message):
        ImportConfig(**config)


def test_a_missing_file_and_a_strange_one(tmp_path):
    out = tmp_path / 'out.safetensors'
    with pytest.raises(CheckpointError, match=r'want a file of at most 1073741824 B, got .*none.pt'):
        import_checkpoint(tmp_path / 'none.pt', out, ImportConfig())
    (tmp_path / 'text.pt').write_text('hello')
    with pytest.raises(CheckpointError, match='want a file with weights alone; reading it ended with KeyError'):
        import_checkpoint(tmp_path / 'text.pt', out, ImportConfig())
    with pytest.raises(CheckpointError, match=r'want a new NAME.safetensors .* got .*out.pt'):
        import_checkpoint(tmp_path / 'text.pt', tmp_path / 'out.pt', ImportConfig())


def test_a_network_that_does_not_play_as_its_lstm_is_refused():
    network = CnnLstm(SMALL)
    network.step = lambda observation, memory, step=network.step: step(255 - observation, memory)
    with pytest.raises(
        CheckpointError, match=r'want our steps to play as torch.nn.LSTM does, got scores that are .* apart'
    ):
        try_out(network)
