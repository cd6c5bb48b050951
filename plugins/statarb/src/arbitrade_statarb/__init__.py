"""Statistical arbitrage for Arbitrade, behind the feature flag `features.statarb`."""
