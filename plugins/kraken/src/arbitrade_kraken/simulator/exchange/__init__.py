"""The exchange itself, pure: books, matching, accounts, fees, faults."""
