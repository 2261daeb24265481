"""Landmarks: kept events, of which the nearest to others are found exactly, most being ruled out by one product."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuronedit.arrays import Float32s, Int64s, Masks, compiled, compiled_sum
from neuronedit.network.autoencoder import Tensors, tensor

BLOCK = 128
"""Events whose products with all landmarks are held at once: 128 x 4,096 float32 are 2 MB."""

LANES = 64
"""The number of landmarks is filled up to a multiple, so that the processor can take many at once."""

HALVINGS = 12
"""Halvings of the range that a threshold is looked for in; few landmarks are left to compare one by one."""

ROWS = 4096
"""Events whose distances a GPU holds at once: 4,096 x 4,096 float64 are 134 MB."""


class Landmarks:
    """Events to look for neighbours among.

    ‖x − y‖² = ‖x‖² + ‖y‖² − 2⟨x, y⟩: one matrix product tells all distances, but for its rounding, which depends on
    the events beside an event. So it only rules out the landmarks that are surely further away than enough others;
    the distances of those left are taken one by one, and the nearest are the true ones, in the same bits wherever an
    event is read.
    """

    def __init__(self, events: Float32s) -> None:
        """Take (n_landmarks, n_neurons) float32 as landmarks."""
        self.events = np.ascontiguousarray(events, dtype=np.float32)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the events alone: the receiver prepares them itself."""
        return {"events": self.events}

    def nearest(self, events: Tensor, n_nearest: int) -> tuple[Tensor, Tensor]:
        """Find the nearest landmarks of each event, in the order of their numbers.

        Of equally far ones the processor takes the first, a GPU any.

        Args:
            events: (n_events, n_neurons) float32.
            n_nearest: At most the number of landmarks.

        Returns:
            (n_events, n_nearest) int64 numbers of landmarks, and their distances, float32.
        """
        if events.is_cuda:
            return nearest_by_product(self._doubles.beside(events), events, n_nearest)
        found, distances = self._nearest(events.contiguous().numpy(), n_nearest)
        return torch.from_numpy(found), torch.from_numpy(distances)

    def _nearest(self, events: Float32s, n_nearest: int) -> tuple[Int64s, Float32s]:
        centre, factors, largest = self._product
        found = np.empty((len(events), n_nearest), dtype=np.int64)
        squares = np.empty((len(events), n_nearest), dtype=np.float32)
        centred = np.append(events - centre, np.ones((len(events), 1), np.float32), axis=1)
        # A sum of n products is off by no more than n roundings of the largest that it can be.
        with np.errstate(over="ignore"):  # where the largest is infinite, no landmark is ruled out
            norms = np.linalg.norm(centred[:, :-1], axis=1) + largest
            slack = np.float32(2 * (centred.shape[1] + 2) * 2.0**-24) * norms**2
        with torch.inference_mode():
            room = torch.empty((min(BLOCK, len(events)), factors.shape[1]))
            for start in range(0, len(events), BLOCK):
                part = slice(start, min(start + BLOCK, len(events)))
                products = torch.mm(tensor(centred[part]), factors, out=room[: part.stop - start]).numpy()
                _select(products, slack[part], events[part], self.events, found[part], squares[part])
        return found, np.sqrt(squares)

    @cached_property
    def _product(self) -> tuple[Float32s, torch.Tensor, np.float32]:
        """The landmarks' centre, the factors that give ‖y‖² − 2⟨x, y⟩ of a centred event and a 1, and the largest ‖y‖.

        Filled up with landmarks infinitely far away.
        """
        centre = self.events.mean(axis=0, dtype=np.float32)
        centred = self.events - centre
        squares = (centred**2).sum(axis=1, dtype=np.float32)
        factors = np.concatenate([-2 * centred.T, squares[None]])
        missing = -len(self.events) % LANES
        factors = np.pad(factors, ((0, 0), (0, missing)))
        factors[-1, len(self.events) :] = np.inf
        return centre, tensor(np.ascontiguousarray(factors)), np.sqrt(squares.max())

    @cached_property
    def _doubles(self) -> Tensors:
        events = self.events.astype(np.float64)
        centre = events.mean(axis=0)
        centred = events - centre
        return Tensors(centre, np.ascontiguousarray(-2 * centred.T), (centred**2).sum(axis=1))


def nearest_by_product(landmarks: tuple[Tensor, ...], events: Tensor, n_nearest: int) -> tuple[Tensor, Tensor]:
    """Find nearest landmarks on a GPU, by one product in float64 (see ``Landmarks.nearest``).

    Its rounding is far below float32's: the nearest are the true ones, but for landmarks that float32, too, has at the
    same distance.

    Args:
        landmarks: Their centre, (n_neurons,), and about it −2 y, (n_neurons, n_landmarks), and ‖y‖², all float64.
        events: (n_events, n_neurons) float32.
        n_nearest: At most the number of landmarks.

    Example:
        >>> kept = torch.tensor([0.0, 3.0, 10.0], dtype=torch.float64)
        >>> landmarks = torch.zeros(1, dtype=torch.float64), -2 * kept[None], kept**2
        >>> numbers, distances = nearest_by_product(landmarks, torch.tensor([[4.0]]), n_nearest=2)
        >>> numbers.tolist(), distances.tolist()
        ([[0, 1]], [[4.0, 1.0]])
    """
    centre, factors, squares = landmarks
    numbers, distances = [], []
    for part in events.split(ROWS):
        centred = part.double() - centre
        least, found = torch.addmm(squares, centred, factors).topk(n_nearest, dim=1, largest=False, sorted=False)
        found, order = found.sort(dim=1)
        apart = least.gather(1, order) + (centred**2).sum(dim=1, keepdim=True)
        numbers.append(found)
        distances.append(apart.clamp_(min=0).sqrt_().float())
    return torch.cat(numbers), torch.cat(distances)


@compiled
def _select(
    products: Float32s,
    slack: Float32s,
    events: Float32s,
    landmarks: Float32s,
    found: Int64s,
    squares: Float32s,
) -> None:
    least = np.empty(products.shape[1], np.float32)
    near = np.empty(products.shape[1], np.bool_)
    rows = np.empty(products.shape[1], np.int64)
    distances = np.empty(products.shape[1], np.float32)
    for event in range(len(events)):
        limit = _upper_bound(products[event], found.shape[1], least) + 2 * slack[event]
        n_near = _not_above(products[event], limit, near, rows)
        while n_near and rows[n_near - 1] >= len(landmarks):  # those infinitely far away
            n_near -= 1
        for i in range(n_near):
            distances[i] = _square(events[event], landmarks[rows[i]])
        _keep_least(distances[:n_near], rows[:n_near], found[event], squares[event])


@compiled
def _upper_bound(products: Float32s, n_nearest: int, least: Float32s) -> np.float32:
    """Find a value that at least ``n_nearest`` products do not exceed, among the least of groups of landmarks.

    Products are folded in halves, each pair's least kept, down to at least twice as many groups.
    """
    # Written so that the processor takes many products at once: two views and one index, no iterator.
    n_groups = len(products) // 2
    first, second = products[:n_groups], products[n_groups:]
    for i in range(len(second)):
        least[i] = second[i] if second[i] < first[i] else first[i]
    while n_groups // 2 >= 2 * n_nearest:
        half = (n_groups + 1) // 2
        second = least[half:n_groups]
        for i in range(len(second)):
            least[i] = second[i] if second[i] < least[i] else least[i]
        n_groups = half
    # Half the landmarks may be fewer than are looked for: then none is ruled out.
    return np.float32(np.inf) if n_groups < n_nearest else _threshold(least[:n_groups], n_nearest)[1]


@compiled
def _threshold(values: Float32s, n_least: int) -> tuple[np.float32, np.float32]:
    """Find two numbers: fewer values than ``n_least`` lie below the first, at least as many up to the second."""
    low, high = values[0], values[0]
    for i in range(len(values)):
        low, high = min(low, values[i]), max(high, values[i])
    for _ in range(HALVINGS):
        middle = low + (high - low) / np.float32(2)
        count = 0
        for i in range(len(values)):
            count += values[i] <= middle
        if count >= n_least:
            high = middle
        else:
            low = middle
    return low, high


@compiled
def _not_above(products: Float32s, limit: float, near: Masks, rows: Int64s) -> int:
    for i in range(len(products)):
        near[i] = not products[i] > limit  # what is no number is not ruled out
    n_near = 0
    eights = near.view(np.uint64)
    for eight in range(len(eights)):
        if eights[eight]:
            for i in range(8 * eight, 8 * eight + 8):
                rows[n_near] = i
                n_near += near[i]
    return n_near


@compiled_sum
def _square(event: Float32s, landmark: Float32s) -> np.float32:
    total = np.float32(0)
    for neuron in range(len(event)):
        apart = event[neuron] - landmark[neuron]
        total += apart * apart
    return total


@compiled
def _keep_least(distances: Float32s, rows: Int64s, found: Int64s, squares: Float32s) -> None:
    low, _ = _threshold(distances, len(found))
    kept = distances < low
    for _ in range(len(found) - kept.sum()):
        least = -1
        for i in range(len(distances)):
            if not kept[i] and (least < 0 or distances[i] < distances[least]):
                least = i
        kept[least] = True
    n_found = 0
    for i in range(len(distances)):
        if kept[i]:
            found[n_found], squares[n_found] = rows[i], distances[i]
            n_found += 1
