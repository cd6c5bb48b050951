"""From a frame to what detectors found: the engine, interpreted and compiled, and its assembly."""
