"""The modalities of Earth's tiles that fourm-lab does not bring, each published as an entry point."""

from fourm_earth.climate import CLIMATES
from fourm_earth.kinds import OffsetField, Range, measured_map, monthly_values
from modalities import (
    ClassMap,
    Dense,
    EdgeMap,
    FreeTextModality,
    Metadata,
    MetadataField,
    ReconstructionLoss,
    Text,
    ViTVQ,
    WordPiece,
)

ELEVATION = measured_map("elevation", "Elevation", "ITU-R P.1511-2", Range(unit="m", low=-500, high=6500, power=0.5))
SLOPE = measured_map("slope", "Slope", "computed from elevation", Range(unit="deg", low=0, high=12, power=0.5))
HILLSHADE = measured_map("hillshade", "Hillshade", "computed from elevation", Range(unit="light", low=0, high=1))
TEMPERATURE = measured_map("temperature", "Annual temperature", "ITU-R P.1510-1", Range(unit="°C", low=-25, high=32))
RAIN = measured_map("rain", "Annual rain", "ITU-R P.837-7", Range(unit="mm", low=0, high=5000, power=0.5))

MONTHLY_TEMPERATURE = monthly_values(
    "monthly_temperature", "Temperature by month", "ITU-R P.1510-1", Range(unit="°C", low=-50, high=40)
)
MONTHLY_RAIN = monthly_values(
    "monthly_rain", "Rain by month", "ITU-R P.837-7", Range(unit="mm", low=0, high=800, power=0.5)
)

SURFACE = ClassMap(
    name="surface",
    title="Land and water",
    classes=("ocean", "land", "lake"),
    layout=Dense(channels=3, size=224, patch=16, categorical=True),
    tokenizer=ViTVQ(name="surface", vocab_size=4096, loss=ReconstructionLoss.cross_entropy),
    labeller="GSHHS shorelines",
)
CLIMATE = ClassMap(
    name="climate",
    title="Climate class",
    classes=CLIMATES,
    layout=Dense(channels=len(CLIMATES), size=224, patch=16, categorical=True),
    tokenizer=ViTVQ(name="climate", vocab_size=4096, loss=ReconstructionLoss.cross_entropy),
    labeller="Koeppen's rules on monthly temperature and rain",
)
BORDERS = EdgeMap(
    name="borders",
    title="Borders of countries",
    layout=Dense(channels=1, size=224, patch=16),
    tokenizer=ViTVQ(name="borders", vocab_size=8192, loss=ReconstructionLoss.smooth_l1),
    labeller="World Data Bank II",
    # Under 1 % of the pixels are borders, so that reconstructions rarely reach half way: measured on 400 tiles, F1 is
    # best at this level, 38 %, and 2 % at 0.
    threshold=-0.7,
)

GEOGRAPHY_FIELDS = (
    OffsetField(id=40, name="latitude", min_value=-60, max_value=120),
    OffsetField(id=41, name="mean_elevation", min_value=-500, max_value=6500),
    OffsetField(id=42, name="annual_temperature", min_value=-25, max_value=60),
    MetadataField(id=43, name="annual_rain", max_value=5000),
    MetadataField(id=44, name="land_share", max_value=1),
)
"""Facts about a tile. ``max_value`` of the first three is the width of their range."""

GEOGRAPHY = Metadata(
    name="geography",
    title="Facts about the tile",
    layout=Text(max_tokens=2 * len(GEOGRAPHY_FIELDS) + 1, chunk=2),
    tokenizer=WordPiece(),
    fields=GEOGRAPHY_FIELDS,
    labeller="computed from the maps",
)
PLACE = FreeTextModality(
    name="place",
    title="Nearest town",
    layout=Text(max_tokens=24),
    tokenizer=WordPiece(),
    labeller="GeoNames",
    license="CC-BY-4.0",
)
