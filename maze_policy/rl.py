"""Fine-tune a policy by recurrent PPO (Schulman et al. 2017) from images: sb3-contrib's RecurrentPPO on our boards."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import set_random_seed
from torch import Tensor, nn
from tqdm import tqdm

from maze_policy import checkpoint
from maze_policy.boards import Boards
from maze_policy.config import EvaluateConfig, RlConfig, WorldConfig
from maze_policy.evaluate import evaluate
from maze_policy.maze import Maze
from maze_policy.network import CnnLstm, normalised
from maze_policy.resume import load_state, save_state, write_log
from maze_policy.vector_environment import BoardsVecEnv

EVALUATION_LIMIT_S = 60.0
COLUMNS = (
    'iteration',
    'frames',
    'episodes',
    'reward',
    'solved',
    'time_s',
    'policy_loss',
    'value_loss',
    'explained_variance',
    'entropy',
    'approx_kl',
    'clip_fraction',
    'success',
    'mean_s',
    'median_s',
    'wall_s',
)


class Eye(BaseFeaturesExtractor):
    """Our network's convolutions and linear layer as the library's features extractor."""

    def __init__(self, observation_space: spaces.Space[Any], network: CnnLstm) -> None:
        super().__init__(observation_space, network.config.features)
        self.eye = network.eye

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 84, 84), grey levels as floats, to features (N, features)."""
        features: Tensor = self.eye(normalised(images.unsqueeze(1)))
        return features


class PpoPolicy(RecurrentActorCriticPolicy):
    """The layers of a `CnnLstm` where the library expects its own, and a critic on its hidden values.

    Nothing is copied: what the library trains is the `CnnLstm` itself. The critic is a small network on the LSTM's
    hidden values; its gradient stops there (the library's `shared_lstm`), so it cannot harm what the policy remembers.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        network: CnnLstm,
        critic_units: int,
        **settings: Any,
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch={'pi': [], 'vf': [critic_units]},
            ortho_init=False,  # it would initialise the distilled layers anew
            features_extractor_class=Eye,
            features_extractor_kwargs={'network': network},
            normalize_images=False,  # `Eye` does
            lstm_hidden_size=network.n_l,
            shared_lstm=True,
            enable_critic_lstm=False,
            **settings,
        )
        self.lstm_actor = network.lstm
        self.action_net = network.actor
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr_schedule(1))

    @staticmethod
    def _process_sequence(
        features: Tensor, lstm_states: tuple[Tensor, Tensor], episode_starts: Tensor, lstm: nn.LSTM
    ) -> tuple[Tensor, Any]:
        """As the library's, without its loop over the steps where episodes start at the first of them only.

        The library's buffer cuts sequences where episodes start, so that is always so.
        """
        boards = lstm_states[0].shape[1]
        starts = episode_starts.reshape(boards, -1)
        if starts[:, 1:].any():
            return RecurrentActorCriticPolicy._process_sequence(features, lstm_states, episode_starts, lstm)
        keep = 1.0 - starts[:, 0].view(1, boards, 1)
        sequence = features.view(boards, -1, lstm.input_size).transpose(0, 1)
        hidden, memory = lstm(sequence, (keep * lstm_states[0], keep * lstm_states[1]))
        return hidden.transpose(0, 1).flatten(0, 1), memory


class PpoTrainer:
    """Everything that fine-tuning changes; `run` goes on from wherever it stands.

    An iteration plays `rollout_steps` on all boards and learns from them. Its randomness comes from (seed, number of
    the iteration) alone. A killed training that is started again in the same folder goes on from the last save with the
    same weights, optimizer and log; the episodes under way are lost, so its result differs a little from that of an
    undisturbed run.

    Attributes:
        network: the policy; its weights change.
        iteration: how often it was changed.
        episodes: how many episodes of experience have ended.
    """

    def __init__(
        self,
        config: RlConfig,
        policy: CnnLstm,
        maze: Maze,
        world: WorldConfig,
        out: Path,
        *,
        begun_with: Mapping[str, Any] | None = None,
    ) -> None:
        """`policy`: the weights to begin with, and `begun_with` what the card says of them."""
        torch.set_num_threads(config.threads)
        self.config, self.network, self.maze, self.world, self.out = config, policy, maze, world, out
        self.begun_with = None if begun_with is None else dict(begun_with)
        self.iteration, self.episodes = 0, 0
        self.log: list[dict[str, float]] = []
        self.results: dict[str, Any] = {}
        self._begun_digest = hashlib.sha256(safetensors.torch.save(policy.state_dict())).hexdigest()
        out.mkdir(parents=True, exist_ok=True)
        state = load_state(self._state_path, self._settings())
        if state:
            self.iteration, self.episodes = state['iteration'], state['episodes']
            self.log, self.results = state['log'], state['results']
        # After a resume other episodes than those already seen.
        seed = int(np.random.SeedSequence([config.seed, self.iteration]).generate_state(1)[0])
        self.env = BoardsVecEnv(
            Boards(maze, world, config.boards, seed),
            maze,
            seed=seed,
            episode_s=config.episode_s,
            any_ring=config.any_ring,
        )
        self.ppo = RecurrentPPO(
            PpoPolicy,
            self.env,
            learning_rate=lambda _: self._learning_rate(),
            n_steps=config.rollout_steps,
            batch_size=config.minibatch_boards * config.rollout_steps,
            n_epochs=config.epochs,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip,
            ent_coef=config.entropy_weight,
            vf_coef=config.value_weight,
            max_grad_norm=config.gradient_norm,
            policy_kwargs={'network': policy, 'critic_units': config.critic_units},
            seed=config.seed,
            device='cpu',
        )
        self.ppo.set_logger(Logger(None, []))
        if state:
            self.ppo.policy.load_state_dict(state['policy'])
            self.ppo.policy.optimizer.load_state_dict(state['optimizer'])

    @property
    def share(self) -> float:
        """How much of the planned training is done, 0 to 1."""
        config = self.config
        by_episodes = self.episodes / config.episodes if config.episodes else 0.0
        return min(1.0, max(self.iteration / config.iterations, by_episodes))

    def run(self, *, progress: bool = False) -> None:
        """Train up to `config.iterations` or `config.episodes`, saving and evaluating on the way."""
        config = self.config
        if not self.log:
            self.log.append({'iteration': 0, 'frames': 0, 'episodes': 0} | self._evaluate())
        with tqdm(total=config.iterations, initial=self.iteration, unit='iteration', disable=not progress) as bar:
            while self.share < 1.0:
                start, before = time.perf_counter(), self.episodes
                row = self._iterate()
                last = self.share == 1.0
                passed = any(before < point <= self.episodes for point in config.evaluate_at)
                if last or passed or self.iteration % config.evaluate_every == 0:
                    row |= self._evaluate()
                row['wall_s'] = round(time.perf_counter() - start, 3)
                self.log.append(row)
                if last or self.iteration % config.save_every == 0:
                    self._save()
                bar.update()
                bar.set_postfix(
                    episodes=self.episodes, solved=self.results['success'], mean_s=self.results['time_s']['mean']
                )

    def _iterate(self) -> dict[str, float]:
        """One rollout on all boards, and what is learnt from it."""
        config = self.config
        set_random_seed(int(np.random.SeedSequence([config.seed, self.iteration]).generate_state(1)[0]))
        # A critic that knows nothing yet would only spoil the policy.
        self.network.requires_grad_(self.iteration >= config.critic_iterations)
        self.ppo.learn(config.boards * config.rollout_steps, reset_num_timesteps=False)
        self.iteration += 1
        ended, self.env.ended = self.env.ended, []
        self.episodes += len(ended)
        said = self.ppo.logger.name_to_value
        row = {
            'iteration': self.iteration,
            'frames': self.iteration * config.boards * config.rollout_steps,
            'episodes': self.episodes,
            'policy_loss': float(said['train/policy_gradient_loss']),
            'value_loss': float(said['train/value_loss']),
            'explained_variance': float(said['train/explained_variance']),
            'entropy': -float(said['train/entropy_loss']),
            'approx_kl': float(said['train/approx_kl']),
            'clip_fraction': float(said['train/clip_fraction']),
        }
        if ended:
            reward, time_s, solved = np.array(ended).T
            row |= {'reward': reward.mean().item(), 'solved': solved.mean().item(), 'time_s': np.median(time_s).item()}
        return row

    def _learning_rate(self) -> float:
        config = self.config
        if self.iteration < config.critic_iterations:
            return config.critic_learning_rate
        return config.learning_rate * (1.0 - self.share)

    def _evaluate(self) -> dict[str, float]:
        config = EvaluateConfig(
            count=self.config.evaluate_count, seed=self.config.seed + 1, time_limit_s=EVALUATION_LIMIT_S
        )
        self.results = evaluate(self.network, config, self.maze, self.world).summary()
        time_s = self.results['time_s']
        return {'success': self.results['success'], 'mean_s': time_s['mean'], 'median_s': time_s['median']}

    @property
    def _state_path(self) -> Path:
        return self.out / 'state.pt'

    def _settings(self) -> dict[str, Any]:
        """Everything that must stay the same for a training to go on."""
        parts = (self.config, self.network.config, self.maze, self.world)
        return {name: value for part in parts for name, value in part.as_dict().items()} | {
            'begun_with': self._begun_digest
        }

    def card(self) -> dict[str, Any]:
        """How the weights came about, for the checkpoint."""
        return {
            'method': 'recurrent PPO from images, begun with a trained policy',
            'train': self.config.as_dict(),
            'world': self.world.as_dict(),
            'maze': self.maze.as_dict(),
            'iterations': self.iteration,
            'frames': self.iteration * self.config.boards * self.config.rollout_steps,
            'episodes': self.episodes,
            'results': self.results,
            'begun_with': self.begun_with,
        }

    def _save(self) -> None:
        state = {
            'policy': self.ppo.policy.state_dict(),
            'optimizer': self.ppo.policy.optimizer.state_dict(),
            'iteration': self.iteration,
            'episodes': self.episodes,
            'log': self.log,
            'results': self.results,
        }
        save_state(self._state_path, self._settings(), state)
        checkpoint.save(self.out / 'policy.safetensors', self.network, self.card())
        write_log(self.out / 'log.csv', COLUMNS, self.log)
