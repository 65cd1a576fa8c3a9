"""From a name to a modality: built in, from an installed package, or added by hand; each imported on demand."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points

from modalities.errors import BrokenPluginError, DuplicateModalityError, UnknownNameError
from modalities.spec import Modality

ENTRY_POINT_GROUP = "fourm.modalities"
"""Entry-point group under which a package publishes its modalities."""


@dataclass(frozen=True, kw_only=True)
class ModalityProvider:
    """Where one modality comes from, and how to get it."""

    name: str
    origin: str
    """Who brought it, for messages: a module, or a package and its entry point."""
    load: Callable[[], object]


class Registry(Mapping[str, Modality]):
    """Names to modalities, loaded lazily; a broken provider is reported when asked for and leaves the others usable."""

    def __init__(self, providers: Iterable[ModalityProvider] = ()) -> None:
        """Take the providers.

        Raises:
            DuplicateModalityError: Two providers bring the same name.
        """
        self._providers: dict[str, ModalityProvider] = {}
        self._loaded: dict[str, Modality] = {}
        for provider in providers:
            self.add(provider)

    def add(self, provider: ModalityProvider) -> None:
        """Add a provider by hand, in a notebook or a test.

        Raises:
            DuplicateModalityError: The name is taken.
        """
        known = self._providers.get(provider.name)
        if known is not None:
            raise DuplicateModalityError(
                f"Modality {provider.name!r} is brought by both {known.origin} and {provider.origin}; "
                "rename or uninstall one."
            )
        self._providers[provider.name] = provider

    def providers(self) -> tuple[ModalityProvider, ...]:
        """Every provider; none is imported."""
        return tuple(self._providers.values())

    def __getstate__(self) -> dict[str, object]:
        # Another process imports the modalities itself.
        return {"_providers": self._providers, "_loaded": {}}

    def origin(self, name: str) -> str:
        """Who brings the modality ``name``."""
        return self._provider(name).origin

    def __getitem__(self, name: str) -> Modality:
        if name not in self._loaded:
            self._loaded[name] = self._load(self._provider(name))
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._providers))

    def __len__(self) -> int:
        return len(self._providers)

    def __contains__(self, name: object) -> bool:
        return name in self._providers

    def _provider(self, name: str) -> ModalityProvider:
        if name not in self._providers:
            raise UnknownNameError("modality", name, self._providers)
        return self._providers[name]

    def _load(self, provider: ModalityProvider) -> Modality:
        try:
            value = provider.load()
        except Exception as error:
            raise BrokenPluginError(
                f"Modality {provider.name!r} of {provider.origin} could not be loaded: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(value, Modality):
            raise BrokenPluginError(f"{provider.origin} published a {type(value).__name__}, expected a Modality.")
        if value.name != provider.name:
            raise BrokenPluginError(
                f"{provider.origin} is published as {provider.name!r} but calls itself {value.name!r}."
            )
        return value


def _load_builtin(module: str) -> object:
    return importlib.import_module(module).MODALITY


def builtin_providers() -> list[ModalityProvider]:
    """One provider for every file in ``modalities/builtin``; nothing is imported yet."""
    package = importlib.import_module("modalities.builtin")

    def provider(name: str) -> ModalityProvider:
        module = f"{package.__name__}.{name}"
        return ModalityProvider(name=name, origin=module, load=partial(_load_builtin, module))

    return [provider(info.name) for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]


def installed_providers() -> list[ModalityProvider]:
    """One provider for every entry point that installed packages publish."""
    return [
        ModalityProvider(
            name=point.name,
            origin=f"{point.dist.name if point.dist else 'an unknown package'} ({point.value})",
            load=point.load,
        )
        for point in entry_points(group=ENTRY_POINT_GROUP)
    ]


def default_registry() -> Registry:
    """A fresh registry of everything built in and installed.

    Raises:
        DuplicateModalityError: An installed package takes a name that is already there.
    """
    return Registry([*builtin_providers(), *installed_providers()])
