"""From a name to what packages publish: built in, installed, or added by hand; each imported on demand."""

import abc
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from typing import ClassVar, TypeVar

from modalities.errors import BrokenPluginError, DuplicateNameError, UnknownNameError
from modalities.spec import Modality

T = TypeVar("T")

ENTRY_POINT_GROUP = "fourm.modalities"
"""Entry-point group under which a package publishes its modalities."""


@dataclass(frozen=True, kw_only=True)
class PluginProvider:
    """The origin of one published value, and the function that imports it."""

    name: str
    origin: str
    """The provider for messages: a module, or a package and its entry point."""
    load: Callable[[], object]


class PluginRegistry(Mapping[str, T], abc.ABC):
    """Names to published values, loaded lazily.

    A broken provider is reported when its name is looked up, and leaves the others usable.
    """

    kind: ClassVar[str]
    """Kind of the published values, for messages."""

    def __init__(self, providers: Iterable[PluginProvider] = ()) -> None:
        """Take the providers.

        Raises:
            DuplicateNameError: Two providers bring the same name.
        """
        self._providers: dict[str, PluginProvider] = {}
        self._loaded: dict[str, T] = {}
        for provider in providers:
            self.add(provider)

    def add(self, provider: PluginProvider) -> None:
        """Add a provider by hand, in a notebook or a test.

        Raises:
            DuplicateNameError: The name is taken.
        """
        known = self._providers.get(provider.name)
        if known is not None:
            raise DuplicateNameError(
                f"{self.kind.capitalize()} {provider.name!r} is brought by both {known.origin} and {provider.origin}; "
                "rename or uninstall one."
            )
        self._providers[provider.name] = provider

    def providers(self) -> tuple[PluginProvider, ...]:
        """Every provider; nothing is imported."""
        return tuple(self._providers.values())

    def __getstate__(self) -> dict[str, object]:
        # Another process imports the values itself.
        return {"_providers": self._providers, "_loaded": {}}

    def origin(self, name: str) -> str:
        """The module or package that brings ``name``."""
        return self._provider(name).origin

    def __getitem__(self, name: str) -> T:
        if name not in self._loaded:
            self._loaded[name] = self._load(self._provider(name))
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._providers))

    def __len__(self) -> int:
        return len(self._providers)

    def __contains__(self, name: object) -> bool:
        return name in self._providers

    def _provider(self, name: str) -> PluginProvider:
        if name not in self._providers:
            raise UnknownNameError(self.kind, name, self._providers)
        return self._providers[name]

    def _load(self, provider: PluginProvider) -> T:
        try:
            value = provider.load()
        except Exception as error:
            raise BrokenPluginError(
                f"{self.kind.capitalize()} {provider.name!r} of {provider.origin} could not be loaded: "
                f"{type(error).__name__}: {error}"
            ) from error
        return self._check(provider, value)

    @abc.abstractmethod
    def _check(self, provider: PluginProvider, value: object) -> T:
        """``value`` if it is what this registry holds, else `BrokenPluginError`."""


class Registry(PluginRegistry[Modality]):
    """Names to modalities."""

    kind = "modality"

    def _check(self, provider: PluginProvider, value: object) -> Modality:
        if not isinstance(value, Modality):
            raise BrokenPluginError(f"{provider.origin} published a {type(value).__name__}, expected a Modality.")
        if value.name != provider.name:
            raise BrokenPluginError(
                f"{provider.origin} is published as {provider.name!r} but calls itself {value.name!r}."
            )
        return value


def _load_builtin(module: str) -> object:
    return importlib.import_module(module).MODALITY


def builtin_providers() -> list[PluginProvider]:
    """One provider for every file in ``modalities/builtin``; nothing is imported yet."""
    package = importlib.import_module("modalities.builtin")

    def provider(name: str) -> PluginProvider:
        module = f"{package.__name__}.{name}"
        return PluginProvider(name=name, origin=module, load=partial(_load_builtin, module))

    return [provider(info.name) for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]


def installed_providers(group: str = ENTRY_POINT_GROUP) -> list[PluginProvider]:
    """One provider for every entry point that installed packages publish in a group."""
    return [
        PluginProvider(
            name=point.name,
            origin=f"{point.dist.name if point.dist else 'an unknown package'} ({point.value})",
            load=point.load,
        )
        for point in entry_points(group=group)
    ]


def default_registry() -> Registry:
    """A fresh registry of everything built in and installed.

    Raises:
        DuplicateNameError: An installed package takes a name that is already there.
    """
    return Registry([*builtin_providers(), *installed_providers()])
