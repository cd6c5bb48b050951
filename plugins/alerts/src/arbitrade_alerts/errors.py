"""What goes wrong on the way to a person."""

from arbitrade import ArbitradeError


class DeliveryError(ArbitradeError):
    """At least one channel did not take an alert.  Names the channels, never their addresses."""
