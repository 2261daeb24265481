"""Edits on a device."""

from collections.abc import Sequence

import torch
from torch import Tensor

from neuronedit.autoencoder import Autoencoder
from neuronedit.chunks import Activations
from neuronedit.device.landmarks import DeviceLandmarks
from neuronedit.device.shifts import shift_on
from neuronedit.device.spikes import DeviceSpikes
from neuronedit.edit import Edit, Member
from neuronedit.steps import FittedStep
from neuronedit.support import Support, shrink


class DeviceEdit:
    """``Edit`` on a device.

    Attributes:
        support: Which events the source has anything like.
    """

    def __init__(self, edit: Edit, autoencoders: Sequence[Autoencoder], device: torch.device) -> None:
        """Take an edit to a device that its autoencoders are on."""
        self.support = DeviceSupport(edit.support, device)
        self._spikes = DeviceSpikes(edit.spikes, device)
        self._members = [(member.weight, DeviceMember(member, autoencoders, device)) for member in edit.members]
        self._shrinks = edit.shrinks

    def edit(self, markers: Tensor, strength: float, scores: Tensor | None) -> Tensor:
        """Edit standardised markers: (n_events, n_markers) → (n_events, n_markers) float32.

        Args:
            markers: (n_events, n_markers).
            strength: Of the whole change, 1; 0 changes nothing.
            scores: (n_events,) the support's, where they are known.
        """
        if not self._members:
            return markers
        spread = self._spikes.spread(markers)
        edited = self._spikes.gather(self._blended(spread), spread, markers)
        if strength == 1 and not self._shrinks:
            return edited
        kept = markers.new_full((len(markers), 1), strength)
        if self._shrinks:
            kept = kept * shrink(self.support.scores(markers) if scores is None else scores)[:, None]
        # Where the whole change is made, its bits are kept.
        return torch.where(kept == 1, edited, markers + kept * (edited - markers))

    def _blended(self, markers: Tensor) -> Tensor:
        start = Activations(markers)  # one for all members: what networks make of it is computed once
        if len(self._members) == 1:
            return self._members[0][1].edit(start)
        change = torch.zeros_like(markers)
        for weight, member in self._members:
            change += weight * (member.edit(start) - markers)
        return markers + change


class DeviceMember:
    """``Member`` on a device."""

    def __init__(self, member: Member, autoencoders: Sequence[Autoencoder], device: torch.device) -> None:
        self._steps = [DeviceStep(step, autoencoders[member.autoencoder], device) for step in member.steps]

    def edit(self, start: Activations) -> Tensor:
        """Edit events, step after step: → (n_events, n_markers) float32."""
        for step in self._steps:
            start = Activations(step.edit(start))
        return start.markers


class DeviceStep:
    """``FittedStep`` on a device."""

    def __init__(self, step: FittedStep, autoencoder: Autoencoder, device: torch.device) -> None:
        self._plan = step.plan
        self._shift = shift_on(device, step.shift)
        self._autoencoder = autoencoder

    def edit(self, activations: Activations) -> Tensor:
        """Edit events by what networks make of them: → (n_events, n_markers) float32."""
        autoencoder, layer = self._autoencoder, self._plan.layer
        before = activations.at_layer(autoencoder, layer)
        after = before + self._shift.at(before)
        if not self._plan.latent:
            return after
        if self._plan.form == "plain":
            return autoencoder.decode(after, layer)
        change = autoencoder.last_hidden(after, layer) - activations.last_hidden(autoencoder, layer)
        return activations.markers + autoencoder.output_change(change)


class DeviceSupport:
    """``Support`` on a device."""

    def __init__(self, support: Support, device: torch.device) -> None:
        self._landmarks = DeviceLandmarks(support.landmarks, device)
        self._n_neighbours, self._own_distance = support.n_neighbours, support.own_distance

    def scores(self, events: Tensor) -> Tensor:
        """Distance to the source in units of the source's own: (n_events, n_markers) → (n_events,) float32."""
        _, distances = self._landmarks.nearest(events, self._n_neighbours)
        return (distances.mean(dim=1) / self._own_distance).float()
