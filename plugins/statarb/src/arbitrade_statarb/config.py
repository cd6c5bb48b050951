"""Settings section `statarb`."""

import attrs

from arbitrade import setting


@attrs.frozen
class StatarbSettings:
    """Parameters of the hedged spread.  Nothing reads them before there is a detector."""

    window: int = setting(
        100, "What a z-score looks back on, the newest included.", unit="observations", minimum=2
    )
    entry_z: float = setting(
        2.0, "Absolute z-score above which a spread counts as stretched.", minimum=0
    )
    exit_z: float = setting(
        0.5, "Absolute z-score below which a spread counts as back to normal.", minimum=0
    )
    maximum_half_life: float = setting(
        50.0, "Longest half-life of a spread worth trading.", unit="observations", minimum=0
    )
