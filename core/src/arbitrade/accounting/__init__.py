"""Money: the ledger, where the edge went, the audit, what cycles earned, what things are worth."""
