"""`arbitrade doctor`: examines an installation, and says what to do."""
