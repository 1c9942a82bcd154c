"""sb3-contrib's recurrent PPO with our network as its policy."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from maze_policy.network import CnnLstm, normalised


class Eye(BaseFeaturesExtractor):
    """Our network's convolutions and linear layer as the library's features extractor."""

    def __init__(self, observation_space: spaces.Space[Any], network: CnnLstm) -> None:
        super().__init__(observation_space, network.config.features)
        self.eye = network.eye

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 84, 84), grey levels as floats, to features (N, features).

        The library pads short episodes with black images, every third of all images: it looks at one for all of them.
        """
        black = ~images.flatten(1).any(dim=1)
        if not black.any():
            return self._look(images)
        features = self._look(torch.cat([images[~black], images[black][:1]]))
        which = torch.full((len(images),), len(features) - 1)
        which[~black] = torch.arange(len(features) - 1)
        return features[which]

    def _look(self, images: Tensor) -> Tensor:
        features: Tensor = self.eye(normalised(images.unsqueeze(1)))
        return features


class PpoPolicy(RecurrentActorCriticPolicy):
    """The layers of a `CnnLstm` where the library expects its own, and a critic on its hidden values.

    Nothing is copied: what the library trains is the `CnnLstm` itself. The critic is a small network on the LSTM's
    hidden values; its gradient stops there (the library's `shared_lstm`), so it cannot harm what the policy remembers.
    The optimizer has two groups, policy and critic. Observations are images, or features that the network's eye has
    made of them already; then the eye stays as it is.
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
        looked = observation_space.shape == (network.config.features,)
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch={'pi': [], 'vf': [critic_units, critic_units]},
            ortho_init=False,  # it would initialise the distilled layers anew
            features_extractor_class=FlattenExtractor if looked else Eye,
            features_extractor_kwargs={} if looked else {'network': network},
            normalize_images=False,  # `Eye` does
            lstm_hidden_size=network.n_l,
            shared_lstm=True,
            enable_critic_lstm=False,
            **settings,
        )
        self.lstm_actor = network.lstm
        self.action_net = network.actor
        critic = [*self.mlp_extractor.parameters(), *self.value_net.parameters()]
        groups = [{'params': [*network.parameters()]}, {'params': critic}]
        self.optimizer = torch.optim.Adam(groups, lr=lr_schedule(1), **self.optimizer_kwargs)

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


class Ppo(RecurrentPPO):
    """The library's, with a learning rate of its own for the critic, which has more to learn than the policy."""

    critic_learning_rate = 0.0

    def _update_learning_rate(self, optimizers: list[torch.optim.Optimizer] | torch.optim.Optimizer) -> None:
        super()._update_learning_rate(optimizers)
        self.policy.optimizer.param_groups[1]['lr'] = self.critic_learning_rate
