"""What the pages and the API ask about brands: how they are, and to change them. Filled in by whoever serves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from domain.brand import Brand, BrandState
from domain.errors import ConfigError


class BrandDesk(Protocol):
    """Thread-safe."""

    def states(self) -> Sequence[BrandState]:
        """Give all brands as they are, a few seconds old at most."""

    def change(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add, edit, pause, resume or remove a brand: `act`, `brand_id` and `values` as `soundings brands` takes them.

        Gives the brand as it is then by its fields, nothing of one that is removed.

        Raises:
            ConfigError: all that keeps it from being done.
            Busy, RetryLater, BackendDown: whoever does it does not answer.
        """

    def rematch(self, brand_id: str) -> None:
        """Have the posts that are kept held against a brand's query; does not wait for it.

        Raises:
            ConfigError, Busy, RetryLater, BackendDown: as `change`.
        """

    def rematches(self) -> Mapping[str, Mapping[str, Any]]:
        """Tell how far the last rematch of each brand came that had one.

        Each has `looked added withdrawn older total done query_revision`.
        """

    def prices(self) -> Mapping[str, tuple[float, str]]:
        """Give what a post costs and in which currency, by source, where a source asks for money."""


class FixedBrands:
    """Brands that cannot be changed here."""

    def __init__(self, brands: Sequence[Brand]) -> None:
        self._states = tuple(BrandState(brand=brand, file="the configuration") for brand in brands)

    def states(self) -> Sequence[BrandState]:
        return self._states

    def change(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        raise ConfigError("brands cannot be changed here")

    def rematch(self, brand_id: str) -> None:
        raise ConfigError("brands cannot be changed here")

    def rematches(self) -> Mapping[str, Mapping[str, Any]]:
        return {}

    def prices(self) -> Mapping[str, tuple[float, str]]:
        return {}
