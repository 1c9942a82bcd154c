import csv

import numpy as np
import pytest
import torch

from maze_policy import rl
from maze_policy.boards import Boards
from maze_policy.checkpoint import load_card, load_policy
from maze_policy.config import NetworkConfig, RlConfig
from maze_policy.evaluate import evaluate
from maze_policy.maze import load_maze
from maze_policy.network import CnnLstm
from maze_policy.rl import PpoTrainer
from maze_policy.vector_environment import BoardsVecEnv
from maze_policy.world import WorldConfig

NETWORK = NetworkConfig(conv_channels=(4, 4, 4), features=16, n_l=16)


@pytest.fixture(autouse=True)
def _short_evaluations(monkeypatch):
    monkeypatch.setattr(rl, 'EVALUATION_LIMIT_S', 1.0)


def network(seed=0):
    torch.manual_seed(seed)
    return CnnLstm(NETWORK)


def trainer(out, policy=None, world=WorldConfig(), **changed):  # noqa: B008 (frozen)
    tiny = {
        'iterations': 4,
        'boards': 4,
        'rollout_steps': 16,
        'minibatch_boards': 2,
        'critic_iterations': 1,
        'episode_s': 1.0,
        'evaluate_every': 100,
        'evaluate_count': 2,
        'threads': 1,
    }
    return PpoTrainer(RlConfig(**tiny | changed), policy or network(), load_maze(), world, out)


def weights(network):
    return torch.cat([value.flatten() for value in network.state_dict().values()])


@pytest.mark.parametrize(
    ('policy', 'limit_s', 'changed'),
    [(network, 3.0, {'learning_rate': 1e-2}), (load_policy, 12.0, {'learn_eye': True})],
    ids=['tiny', 'nominal'],
)
def test_trained_policy_gives_the_same_scores_in_our_network(tmp_path, policy, limit_s, changed):
    """Over whole episodes and the resets between them, in a world that disturbs."""
    begun = policy()
    before = weights(begun).clone()
    made = trainer(tmp_path, begun, WorldConfig(latency_steps=(0, 2), noise_levels=(0.0, 6.0)), **changed)
    made.run()
    ours = load_policy(tmp_path / 'policy.safetensors')
    assert not torch.equal(weights(ours), before)

    theirs, scores, images = made.ppo.policy, [], []
    theirs.action_net.register_forward_hook(lambda *parts: scores.append(parts[2][0].numpy()))

    def look(image):
        images.append(image)
        return image if made.config.learn_eye else made._look(image)

    boards = Boards(load_maze(), made.world, 1, 5)
    env = BoardsVecEnv(boards, load_maze(), seed=5, episode_s=limit_s, any_ring=0.0, look=look)
    seen, state, start, our_scores = env.reset(), None, np.array([True]), []
    while len(env.ended) < 3:
        if start[0]:
            memory = ours.initial_memory()
        action, state = theirs.predict(seen, state, start, deterministic=True)
        step = ours.step(images[-1][0], memory)
        memory = step.memory
        our_scores.append(step.scores)
        assert int(np.argmax(step.scores)) == action[0]
        seen, _, start, _ = env.step(action)
    # Float32 holds no more than 7 digits, and nominal's scores go up to 25.
    scale = max(1.0, np.abs(our_scores).max())
    np.testing.assert_allclose(our_scores, scores, rtol=0, atol=1e-6 * scale)
    assert all(episode.solved for episode in env.ended) == (policy is load_policy)


def test_what_pays_gets_likelier(tmp_path, monkeypatch):
    play = BoardsVecEnv.step_wait

    def paid(env):
        seen, _, ends, infos = play(env)
        return seen, (env._actions == 2).astype(np.float32), ends, infos

    def chance(policy):
        images = torch.from_numpy(Boards(load_maze(), WorldConfig(), 8, 3).observations(np.arange(8)))[None]
        with torch.no_grad():
            return policy.sequence(images).scores.softmax(dim=-1)[0, :, 2].mean().item()

    monkeypatch.setattr(BoardsVecEnv, 'step_wait', paid)
    made = trainer(tmp_path, iterations=12, learning_rate=3e-3, gamma=0.5, epochs=4, learn_eye=True)
    before = chance(made.network)
    made.run()
    assert before < 0.3
    assert chance(made.network) > 0.6


def test_the_eye_learns_only_where_asked(tmp_path):
    for learn_eye in (False, True):
        made = trainer(tmp_path / str(learn_eye), learn_eye=learn_eye)
        before = made.network.eye[0].weight.clone(), made.network.lstm.weight_hh_l0.clone()
        made.run()
        assert torch.equal(made.network.eye[0].weight, before[0]) != learn_eye
        assert not torch.equal(made.network.lstm.weight_hh_l0, before[1])


def test_the_critic_learns_first_and_alone(tmp_path):
    made = trainer(tmp_path, iterations=2, critic_iterations=2)
    policy, critic = weights(made.network).clone(), made.ppo.policy.value_net.weight.detach().clone()
    made.run()
    assert torch.equal(weights(made.network), policy)
    assert not torch.equal(made.ppo.policy.value_net.weight, critic)


def test_sharpened_policy_prefers_the_same_actions(tmp_path):
    images = torch.from_numpy(Boards(load_maze(), WorldConfig(), 8, 3).observations(np.arange(8)))[None]
    with torch.no_grad():
        before = network().sequence(images).scores[0]
        after = trainer(tmp_path, sharpen=3.0).network.sequence(images).scores[0]
    assert torch.equal(before.argmax(dim=1), after.argmax(dim=1))
    assert (after.softmax(dim=1).max(dim=1).values > before.softmax(dim=1).max(dim=1).values).all()


def test_same_seed_same_weights(tmp_path):
    made = [trainer(tmp_path / name, seed=seed) for name, seed in (('one', 3), ('same', 3), ('other', 4))]
    for each in made:
        each.run()
    one, same, other = (weights(each.ppo.policy) for each in made)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_settings_reach_the_library(tmp_path):
    made = trainer(
        tmp_path,
        gamma=0.9,
        gae_lambda=0.7,
        clip=0.3,
        entropy_weight=0.02,
        value_weight=0.6,
        gradient_norm=0.4,
        epochs=2,
        critic_units=8,
    )
    rollouts = made.ppo.rollout_buffer
    assert (rollouts.gamma, rollouts.gae_lambda, rollouts.buffer_size, rollouts.n_envs) == (0.9, 0.7, 16, 4)
    learning = made.ppo
    assert (learning.gamma, learning.gae_lambda, learning.clip_range(1.0)) == (0.9, 0.7, 0.3)
    assert (learning.ent_coef, learning.vf_coef, learning.max_grad_norm) == (0.02, 0.6, 0.4)
    assert (learning.n_epochs, learning.batch_size) == (2, 2 * 16)
    assert learning.policy.value_net.in_features == 8


def test_the_policys_learning_rate_falls_and_the_critics_stays(tmp_path):
    made, rates = trainer(tmp_path, learning_rate=0.01, critic_learning_rate=0.005), []
    for _ in range(4):
        made._iterate()
        rates.append([group['lr'] for group in made.ppo.policy.optimizer.param_groups])
    np.testing.assert_allclose(rates, [[0.01, 0.005], [0.0075, 0.005], [0.005, 0.005], [0.0025, 0.005]])


def test_evaluations_play_trials_of_their_own_for_every_seed(tmp_path, monkeypatch):
    seeds = {}

    def noted(network, config, *world):
        seeds[made.config.seed] = config.seed
        return evaluate(network, config, *world)

    monkeypatch.setattr(rl, 'evaluate', noted)
    for seed in (3, 7):
        made = trainer(tmp_path / str(seed), seed=seed)
        made._evaluate()
    assert seeds[3] != seeds[7]
    assert all(evaluated != seed for seed, evaluated in seeds.items())


def test_log_card_and_evaluations_count_the_episodes(tmp_path):
    made = trainer(
        tmp_path, iterations=50, episodes=8, evaluate_at=(4,)
    )  # an episode: 30 steps, given up; 16 a rollout
    made.run()
    rows = list(csv.DictReader((tmp_path / 'log.csv').open()))
    assert [int(row['iteration']) for row in rows] == [0, 1, 2, 3, 4]
    assert [int(row['frames']) for row in rows] == [0, 64, 128, 192, 256]
    assert [int(row['episodes']) for row in rows] == [0, 0, 4, 4, 8]
    assert [bool(row['success']) for row in rows] == [True, False, True, False, True]
    assert [float(row['time_s']) for row in rows if row['time_s']] == pytest.approx([1.0, 1.0])
    assert all(0 < float(row['entropy']) <= np.log(5) + 1e-6 for row in rows[1:])
    card = load_card(tmp_path / 'policy.safetensors')
    assert (card['episodes'], card['frames']) == (8, 256)
    assert RlConfig.from_dict(card['train']) == made.config
    assert WorldConfig.from_dict(card['world']) == made.world


def test_killed_training_goes_on_from_its_last_save(tmp_path, monkeypatch):
    made = trainer(tmp_path, iterations=6, save_every=2)
    iterate = PpoTrainer._iterate
    monkeypatch.setattr(PpoTrainer, '_iterate', lambda self: iterate(self) if self.iteration < 3 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made.run()
    monkeypatch.undo()

    saved = torch.load(tmp_path / 'state.pt', weights_only=True)
    resumed = trainer(tmp_path, iterations=6, save_every=2)
    assert resumed.iteration == saved['iteration'] == 2
    assert [row['iteration'] for row in resumed.log] == [0, 1, 2]
    for name, value in resumed.ppo.policy.state_dict().items():
        assert torch.equal(value, saved['policy'][name])
    assert torch.equal(weights(resumed.network), weights(load_policy(tmp_path / 'policy.safetensors')))
    moments = [state['exp_avg'] for state in resumed.ppo.policy.optimizer.state_dict()['state'].values()]
    assert all(torch.equal(a, b['exp_avg']) for a, b in zip(moments, saved['optimizer']['state'].values()))
    monkeypatch.setattr(rl, 'EVALUATION_LIMIT_S', 1.0)
    resumed.run()
    assert [row['iteration'] for row in resumed.log] == list(range(7))
    assert resumed.log[-1]['frames'] == 6 * 64


def test_a_resumed_training_plays_other_episodes(tmp_path):
    starts, rings = [], []
    for iterations in (0, 1, 1):
        made = trainer(tmp_path, boards=32, minibatch_boards=16, any_ring=1.0, save_every=1)
        assert made.iteration == iterations
        starts.append(made.env.boards.simulator.position_m.copy())
        made.env.reset()
        rings.append(load_maze().ring(np.hypot(*made.env.boards.simulator.position_m.T)))
        if not iterations:
            made._evaluate()
            made._iterate()
            made._save()
    for drawn in (starts, rings):
        assert not np.array_equal(drawn[0], drawn[1])
        np.testing.assert_array_equal(drawn[1], drawn[2])


def test_resume_wants_the_same_settings_and_the_same_beginning(tmp_path):
    trainer(tmp_path, iterations=1).run()
    with pytest.raises(ValueError, match=r"begun with other settings.*'clip': \(0.1, 0.3\)"):
        trainer(tmp_path, iterations=1, clip=0.3)
    with pytest.raises(ValueError, match=r"other settings.*'missed_frames': \(\[0.0, 0.0\], \[0.1, 0.1\]\)"):
        trainer(tmp_path, world=WorldConfig(missed_frames=(0.1, 0.1)), iterations=1)
    with pytest.raises(ValueError, match=r"other settings.*'begun_with'"):
        trainer(tmp_path, network(seed=1), iterations=1)
    state = tmp_path / 'state.pt'
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r'state\.pt is damaged'):
        trainer(tmp_path, iterations=1)
