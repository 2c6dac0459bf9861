"""Who holds which sample: the factory, each device of the fleet, and the test.

The same data, settings and seed give the same split on every machine and with
every NumPy: only PCG64's raw output is used, whose stream is promised to stay,
and nothing after it but integers and additions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError
from datasets.load import I32, Dataset
from datasets.settings import DataSettings

I64 = NDArray[np.int64]

# A device with fewer samples than this hardly trains; Dirichlet draws make such devices.
FEWEST = 8


@dataclass(frozen=True, eq=False)
class Split:
    """Indices into a Dataset; every sample is in at most one part.  Each part is sorted.

    Attributes:
        factory: what `build` trains on.
        clients: what each device of the fleet holds; none is empty.
        test: what only evaluation sees.
    """

    factory: I64
    clients: tuple[I64, ...]
    test: I64


class Dice:
    """Random numbers that are the same everywhere: PCG64 (O'Neill 2014) and integer arithmetic."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def shuffled(self, items: I64) -> I64:
        """The items in random order."""
        keys = np.asarray(self._bits.random_raw(len(items)), np.uint64)
        return items[np.argsort(keys, kind="stable")]

    def below(self, bound: int) -> int:
        """A random integer in [0, bound), bound at most 2**64; its bias is below bound / 2**64."""
        return int(self._bits.random_raw()) * bound >> 64


def split(dataset: Dataset, settings: DataSettings, seed: int) -> Split:
    """Divide a data set as the settings ask.

    The official test is used where there is one, whatever the partition; else a share
    of the samples, class by class, or a share of the subjects where the partition is by
    subject.

    Raises:
        DataError: the data cannot be divided so; the message says which setting to change.
    """
    dice = Dice(seed)
    by_subject = settings.partition == "subject"
    parts = _by_subject(dataset, settings, dice) if by_subject else _mixed(dataset, settings, dice)
    for name, part in (("factory", parts.factory), ("test", parts.test)):
        if len(part) == 0:
            raise DataError(
                f"data set {dataset.name!r} has too few samples per class ({len(dataset.y)} in all)"
                f" to give the {name} any: raise data.{name}"
            )
    return Split(
        np.sort(parts.factory), tuple(np.sort(c) for c in parts.clients), np.sort(parts.test)
    )


def _by_subject(dataset: Dataset, settings: DataSettings, dice: Dice) -> Split:
    if dataset.subject is None:
        raise DataError(
            f"data.partition = 'subject', but data set {dataset.name!r} does not say who a sample "
            "is from: use dirichlet, labels or iid"
        )
    subject = dataset.subject
    everyone = np.arange(len(subject))
    if dataset.official_test is None:
        people = dice.shuffled(np.unique(subject).astype(np.int64))
        held_out = people[: max(1, round(settings.test * len(people)))]
        in_test = np.isin(subject, held_out)
    else:
        in_test = dataset.official_test
    people = dice.shuffled(np.unique(subject[~in_test]).astype(np.int64))
    if settings.factory_subjects > len(people):
        raise DataError(
            f"data.factory_subjects = {settings.factory_subjects}, but {dataset.name!r} has "
            f"{len(people)} subjects outside the test"
        )
    factory = ~in_test & np.isin(subject, people[: settings.factory_subjects])
    shares = [everyone[~in_test & (subject == p)] for p in people[settings.factory_subjects :]]
    return Split(everyone[factory], _devices(shares, settings.clients, dice), everyone[in_test])


def _devices(shares: list[I64], clients: int, dice: Dice) -> tuple[I64, ...]:
    """A device per subject; fewer devices: the first subjects; more: subjects are divided."""
    if clients <= len(shares) or not shares:
        return tuple(shares[: clients or len(shares)])
    devices = []
    for i, share in enumerate(shares):
        pieces = len(range(i, clients, len(shares)))
        if pieces > len(share):
            raise DataError(
                f"data.clients = {clients}, but a subject has only {len(share)} samples "
                f"for {pieces} devices"
            )
        devices += np.array_split(dice.shuffled(share), pieces)
    return tuple(devices)


def _mixed(dataset: Dataset, settings: DataSettings, dice: Dice) -> Split:
    if dataset.official_test is None:
        test, rest = _share(np.arange(len(dataset.y)), dataset.y, settings.test, dice)
    else:
        test, rest = np.flatnonzero(dataset.official_test), np.flatnonzero(~dataset.official_test)
    factory, fleet = _share(rest, dataset.y, settings.factory, dice)
    if len(fleet) == 0:
        return Split(factory, (), test)
    if not 1 <= settings.clients <= len(fleet):
        raise DataError(
            f"data.clients = {settings.clients}, but the fleet has {len(fleet)} samples: "
            "1 to that many devices are allowed (0 only where the partition is by subject)"
        )
    return Split(factory, _partition(fleet, dataset, settings, dice), test)


def _share(items: I64, y: I32, share: float, dice: Dice) -> tuple[I64, I64]:
    """At most `share` of the items of each class, and the rest."""
    items = dice.shuffled(items)
    taken = np.zeros(len(items), bool)
    for label in np.unique(y[items]):
        of_class = np.flatnonzero(y[items] == label)
        taken[of_class[: int(share * len(of_class))]] = True
    return items[taken], items[~taken]


def _partition(fleet: I64, dataset: Dataset, settings: DataSettings, dice: Dice) -> tuple[I64, ...]:
    fleet = dice.shuffled(fleet)
    if settings.partition == "iid":
        return tuple(np.array_split(fleet, settings.clients))
    if settings.partition == "labels":
        return _labels(fleet, dataset, settings, dice)
    return _dirichlet(fleet, dataset.y, settings, dice)


def _dirichlet(fleet: I64, y: I32, settings: DataSettings, dice: Dice) -> tuple[I64, ...]:
    """Each class goes to the devices in shares drawn from Dirichlet(alpha) (Hsu et al. 2019).

    The draw is Pólya's urn, which has that very distribution: a sample goes to a random
    device with chance clients*alpha / (clients*alpha + samples dealt), else to the device
    of a random earlier sample of its class.
    """
    n = settings.clients
    unit = 1 << 32  # alpha as a fixed-point number, so that no rounding decides
    prior = max(1, round(n * settings.alpha * unit))
    devices: list[list[int]] = [[] for _ in range(n)]
    for label in np.unique(y[fleet]):
        urn: list[int] = []
        for item in fleet[y[fleet] == label]:
            draw = dice.below(prior + len(urn) * unit)
            owner = dice.below(n) if draw < prior else urn[(draw - prior) // unit]
            urn.append(owner)
            devices[owner].append(int(item))
    mixed = [dice.shuffled(np.asarray(d, np.int64)).tolist() for d in devices]
    _level(mixed, min(FEWEST, max(1, len(fleet) // (2 * n))))
    return tuple(np.asarray(d, np.int64) for d in mixed)


def _level(devices: list[list[int]], fewest: int) -> None:
    """Give to every device that has fewer than `fewest` samples one at a time from the richest."""
    for poor in devices:
        while len(poor) < fewest:
            poor.append(max(devices, key=len).pop())


def _labels(fleet: I64, dataset: Dataset, settings: DataSettings, dice: Dice) -> tuple[I64, ...]:
    """Each device holds `labels` classes, and each class is shared evenly by its devices."""
    n_classes = len(dataset.classes)
    if settings.labels > n_classes or settings.labels * settings.clients < n_classes:
        raise DataError(
            f"data.labels = {settings.labels} with data.clients = {settings.clients}: "
            f"{dataset.name!r} has {n_classes} classes; labels must be at most that, and "
            "labels x clients at least that, or some samples would belong to nobody"
        )
    owners: list[list[int]] = [[] for _ in range(n_classes)]
    for device in range(settings.clients):
        order = dice.shuffled(np.arange(n_classes))
        # the classes that fewest devices hold so far; random among equals
        for label in sorted(order.tolist(), key=lambda c: len(owners[c]))[: settings.labels]:
            owners[label].append(device)
    devices: list[list[int]] = [[] for _ in range(settings.clients)]
    for label, holders in enumerate(owners):
        share = fleet[dataset.y[fleet] == label]
        for device, piece in zip(holders, np.array_split(share, len(holders)), strict=True):
            devices[device] += piece.tolist()
    if min(map(len, devices)) == 0:
        raise DataError(
            f"data.clients = {settings.clients}: some classes of {dataset.name!r} have fewer "
            "samples than devices that hold them: lower data.clients"
        )
    return tuple(np.asarray(d, np.int64) for d in devices)
