"""Distil the privileged expert into the CNN-LSTM by DAgger (Ross et al. 2011)."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from maze_policy import checkpoint
from maze_policy.actions import ACTIONS
from maze_policy.boards import Boards, starting_rings
from maze_policy.config import EvaluateConfig, NetworkConfig, TrainConfig
from maze_policy.evaluate import evaluate
from maze_policy.maze import Maze
from maze_policy.network import CnnLstm, Memory
from maze_policy.resume import load_state, save_state, write_log
from maze_policy.world import WorldConfig

SPEED_SCALE_M_S = 0.15  # the state is learnt in units of about 1
LATENCY_SCALE_STEPS = 4.0
STATE = 7
EVALUATION_LIMIT_S = 30.0  # shorter than a real evaluation's: early policies get stuck


COLUMNS = ('chunk', 'frames', 'expert_share', 'loss', 'agreement', 'state_error', 'success', 'median_s', 'wall_s')


@dataclass(frozen=True)
class Chunk:
    """T consecutive steps of B boards.

    Attributes:
        images: observations, shape (T, B, 84, 84), uint8.
        preferences: how much the expert wants each action, whoever played, shape (T, B, 5).
        state: ball position and velocity, commanded tilt and latency, scaled, shape (T, B, 7).
        memory: hidden and cell before the first step as they were then, 2 x (B, n_l).
    """

    images: Tensor
    preferences: Tensor
    state: Tensor
    memory: Memory


class Trainer:
    """Everything that training changes; `run` goes on from wherever it stands.

    What is drawn for a chunk comes from (seed, number of the chunk) alone; the boards draw from (seed, number of the
    chunk with which this process began). A killed training that is started again in the same folder goes on from the
    last save with the same weights, optimizer and log; what it does not have back are the kept chunks and the episodes
    under way, so its result differs a little from that of an undisturbed run.
    """

    def __init__(
        self,
        config: TrainConfig,
        network_config: NetworkConfig,
        maze: Maze,
        world: WorldConfig,
        out: Path,
        *,
        init: str | Path | None = None,
    ) -> None:
        """`init`: a checkpoint whose weights the training begins with."""
        if network_config.n_a != len(ACTIONS):
            raise ValueError(f'n_a wants {len(ACTIONS)}, one for each action of the maze, got {network_config.n_a}')
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.maze, self.world, self.out = config, maze, world, out
        self.network = CnnLstm(network_config)
        self.begun_with: dict[str, Any] | None = None
        if init is not None:
            policy = checkpoint.load_policy(init)
            if policy.config != network_config:
                raise ValueError(f'{init} wants {network_config} to go on from, got {policy.config}')
            self.network.load_state_dict(policy.state_dict())
            self.begun_with = checkpoint.provenance(init)
        self.state_head = nn.Linear(network_config.n_l, STATE)  # dropped from the checkpoint
        weights = [*self.network.parameters(), *self.state_head.parameters()]
        self.optimizer = torch.optim.Adam(weights, lr=config.learning_rate)
        self.chunk = 0
        self.log: list[dict[str, float]] = []
        self.results: dict[str, Any] = {}
        out.mkdir(parents=True, exist_ok=True)
        state = load_state(self._state_path, self._settings())
        if state:
            self.network.load_state_dict(state['network'])
            self.state_head.load_state_dict(state['state_head'])
            self.optimizer.load_state_dict(state['optimizer'])
            self.chunk, self.log, self.results = state['chunk'], state['log'], state['results']
        # After a resume other episodes than those already seen.
        seed = int(np.random.SeedSequence([config.seed, self.chunk]).generate_state(1)[0])
        self.boards = Boards(maze, world, config.boards, seed)
        self.memory: Memory = (torch.zeros(config.boards, network_config.n_l),) * 2
        self.kept: deque[Chunk] = deque(maxlen=config.replay_chunks)

    def run(self, *, progress: bool = False) -> None:
        """Train up to `config.chunks`, saving and evaluating on the way."""
        config = self.config
        with tqdm(total=config.chunks, initial=self.chunk, unit='chunk', disable=not progress) as bar:
            while self.chunk < config.chunks:
                start = time.perf_counter()
                random = np.random.default_rng([config.seed, self.chunk])
                row: dict[str, float] = {
                    'chunk': self.chunk,
                    'frames': (self.chunk + 1) * config.boards * config.chunk_steps,
                }
                row |= self._learn_chunk(random)
                self.chunk += 1
                last = self.chunk == config.chunks
                if last or self.chunk % config.evaluate_every == 0:
                    row |= self._evaluate()
                row['wall_s'] = round(time.perf_counter() - start, 3)
                self.log.append(row)
                if last or self.chunk % config.save_every == 0:
                    self._save()
                bar.update()
                bar.set_postfix(loss=f'{row["loss"]:.3f}', solved=self.results.get('success'))

    def _learn_chunk(self, random: np.random.Generator) -> dict[str, float]:
        config = self.config
        expert_share = max(0.0, 1.0 - self.chunk / config.expert_chunks) if config.expert_chunks else 0.0
        self._reset_ended(random)
        self.kept.append(self._collect(expert_share, random))
        again = random.integers(0, len(self.kept), config.replays)
        for group in self.optimizer.param_groups:
            group['lr'] = config.learning_rate * (1 + math.cos(math.pi * self.chunk / config.chunks)) / 2
        new = [self._learn(self.kept[-1], boards) for boards in self._minibatches(random)]
        for index in again:
            for boards in self._minibatches(random):
                self._learn(self.kept[index], boards)
        loss, agreement, state_error = np.mean(new, axis=0).tolist()
        return {'expert_share': expert_share, 'loss': loss, 'agreement': agreement, 'state_error': state_error}

    def _reset_ended(self, random: np.random.Generator) -> None:
        """New episodes on the boards that are done; only between chunks, so that no chunk spans two episodes."""
        ended = np.flatnonzero(self.boards.simulator.solved | self.boards.late(self.config.episode_s))
        self.boards.reset(ended, starting_rings(self.maze, ended.size, self.config.any_ring, random))
        for part in self.memory:
            part[ended] = 0.0

    @torch.no_grad()
    def _collect(self, expert_share: float, random: np.random.Generator) -> Chunk:
        config, boards = self.config, self.boards
        everyone = np.arange(config.boards)
        by_expert = random.random(config.boards) < expert_share
        before = (self.memory[0].clone(), self.memory[1].clone())
        images, preferences, states = [], [], []
        for _ in range(config.chunk_steps):
            seen = boards.observations(everyone)
            wanted = boards.expert_preferences().astype(np.float32)
            scores, _, self.memory = self.network.sequence(torch.from_numpy(seen)[None], self.memory)
            played = np.where(by_expert, wanted.argmax(axis=1), scores[0].argmax(dim=1).numpy())
            stray = random.random(config.boards) < config.random_actions
            played[stray] = random.integers(0, self.network.n_a, int(stray.sum()))
            images.append(seen)
            preferences.append(wanted)
            states.append(self._scaled_state())
            boards.step(played, everyone)
        image, preference, state = (torch.from_numpy(np.stack(part)) for part in (images, preferences, states))
        return Chunk(image, preference, state, before)

    def _scaled_state(self) -> npt.NDArray[np.float32]:
        boards, simulator = self.boards, self.boards.simulator
        position, velocity = simulator.position_m / self.maze.rim_radius_m, simulator.velocity_m_s / SPEED_SCALE_M_S
        tilt = boards.command_rad / boards.limit_rad
        return np.column_stack([position, velocity, tilt, boards.latency / LATENCY_SCALE_STEPS]).astype(np.float32)

    def _minibatches(self, random: np.random.Generator) -> list[Tensor]:
        order = torch.from_numpy(random.permutation(self.config.boards))
        return list(torch.split(order, self.config.minibatch_boards))

    def _learn(self, chunk: Chunk, boards: Tensor) -> tuple[float, float, float]:
        """One gradient step on some boards of a chunk; loss, agreement with the expert, error of the state."""
        memory = (chunk.memory[0][boards], chunk.memory[1][boards])
        config = self.config
        with torch.autocast('cpu', torch.bfloat16, enabled=config.bfloat16):
            features = self.network.look(chunk.images[:, boards])
        scores, hidden, _ = self.network.remember(features.float(), memory)  # a cell adds up what bfloat16 rounds away
        preferences = chunk.preferences[:, boards].flatten(0, 1)
        action = preferences.argmax(dim=1)
        target = functional.softmax(preferences / config.softness, dim=1) if config.softness else action
        loss = functional.cross_entropy(scores.flatten(0, 1), target)
        state_error = functional.mse_loss(self.state_head(hidden), chunk.state[:, boards])
        penalty = config.activation_l1 * hidden.abs().mean() + config.readout_l1 * self.network.actor.weight.abs().sum()
        self.optimizer.zero_grad()
        (loss + config.state_weight * state_error + penalty).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]['params'], config.gradient_norm)
        self.optimizer.step()
        agreement = (scores.flatten(0, 1).argmax(dim=1) == action).float().mean()
        return loss.item(), agreement.item(), state_error.item()

    def _evaluate(self) -> dict[str, float]:
        config = EvaluateConfig(
            count=self.config.evaluate_count, seed=self.config.seed + 1, time_limit_s=EVALUATION_LIMIT_S
        )
        summary = evaluate(self.network, config, self.maze, self.world).summary()
        self.results = {'evaluation': config.as_dict(), **summary}
        return {'success': self.results['success'], 'median_s': self.results['time_s']['median']}

    @property
    def _state_path(self) -> Path:
        return self.out / 'state.pt'

    def _settings(self) -> dict[str, Any]:
        """Everything that must stay the same for a training to go on."""
        parts = (self.config, self.network.config, self.maze, self.world)
        settings = {name: value for part in parts for name, value in part.as_dict().items()}
        return settings | {'begun_with': self.begun_with and self.begun_with['sha256']}

    def card(self) -> dict[str, Any]:
        """How the weights came about, for the checkpoint."""
        return {
            'method': 'DAgger from a privileged expert',
            'train': self.config.as_dict(),
            'world': self.world.as_dict(),
            'maze': self.maze.as_dict(),
            'chunks': self.chunk,
            'frames': self.chunk * self.config.boards * self.config.chunk_steps,
            'results': self.results,
            'begun_with': self.begun_with,
        }

    def _save(self) -> None:
        state = {
            'network': self.network.state_dict(),
            'state_head': self.state_head.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'chunk': self.chunk,
            'log': self.log,
            'results': self.results,
        }
        save_state(self._state_path, self._settings(), state)
        checkpoint.save(self.out / 'policy.safetensors', self.network, self.card())
        write_log(self.out / 'log.csv', COLUMNS, self.log)
