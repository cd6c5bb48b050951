"""The deterministic machine: cycles, orders, bookings, and what decides.  No I/O, no asyncio."""
