"""Fine-tune a policy by recurrent PPO (Schulman et al. 2017) from images: sb3-contrib's RecurrentPPO on our boards."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import set_random_seed
from tqdm import tqdm

from maze_policy import checkpoint
from maze_policy.boards import Boards
from maze_policy.config import EvaluateConfig, RlConfig
from maze_policy.evaluate import evaluate
from maze_policy.maze import Maze
from maze_policy.network import CnnLstm
from maze_policy.ppo import Ppo, PpoPolicy
from maze_policy.resume import load_state, save_state, write_log
from maze_policy.vector_environment import BoardsVecEnv
from maze_policy.world import WorldConfig

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


class PpoTrainer:
    """Everything that fine-tuning changes; `run` goes on from wherever it stands.

    An iteration plays `rollout_steps` on all boards and learns from them. What is drawn for it comes from (seed, number
    of the iteration) alone; the boards draw from (seed, number of the iteration with which this process began). A
    killed training that is started again in the same folder goes on from the last save with the same weights, optimizer
    and log; the episodes under way are lost, so its result differs a little from that of an undisturbed run.

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
        with torch.no_grad():
            policy.actor.weight *= config.sharpen
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
            look=None if config.learn_eye else self._look,
        )
        self.ppo = Ppo(
            PpoPolicy,
            self.env,
            learning_rate=lambda _: config.learning_rate * (1.0 - self.share),
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
        self.ppo.critic_learning_rate = config.critic_learning_rate
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

    @torch.no_grad()
    def _look(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        features: npt.NDArray[np.float32] = self.network.look(torch.from_numpy(images)[None])[0].numpy()
        return features

    def _evaluate(self) -> dict[str, float]:
        config = EvaluateConfig(
            count=self.config.evaluate_count, seed=self.config.seed + 1, time_limit_s=EVALUATION_LIMIT_S
        )
        summary = evaluate(self.network, config, self.maze, self.world).summary()
        self.results = {'evaluation': config.as_dict(), **summary}
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
