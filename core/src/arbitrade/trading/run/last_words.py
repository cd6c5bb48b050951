"""What a run can still write when its event loop doesn't come back."""

import time

from arbitrade.trading.run.parts import Parts


def say_last_words(parts: Parts) -> None:
    """Write what is held back; called from another thread, just before the process is ended.

    What the journal was given, it writes by itself.
    """
    if parts.warden.holder():
        # The loop's thread is in a plugin's code, so nobody writes to the tape meanwhile.
        parts.tape.close()
    while parts.ground.journal.statistics().waiting:
        time.sleep(0.01)
