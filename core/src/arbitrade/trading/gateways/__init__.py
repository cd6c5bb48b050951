"""The ways out for orders: the venue's account, simulated fills, or nowhere."""
