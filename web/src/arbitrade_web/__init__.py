"""HTTP for Arbitrade: health, readiness and metrics today."""
