"""The journal: records on the disk before anything happens because of them.

    journal = Journal(folder, fsync=FsyncPolicy.ALWAYS)
    recovery = journal.open()            what was there; a torn tail has been cut off
    seq = journal.append(payload)        taken, in memory
    await journal.durable(seq)           on the disk
    journal.reader(seq).next_batch(100)  for whoever moves it to the database
    journal.release(seq)                 it is there: old segments may go
    journal.close()

It knows bytes and sequence numbers, nothing of trading.  `frame.py` says how a record lies in a
file, `writer.py` what a failure means, `repair.py` how to go on after damage.
"""

from arbitrade.journal.reader import JournalEntry, JournalReader, read_journal
from arbitrade.journal.recovery import JournalRecovery, TornTail
from arbitrade.journal.repair import Quarantined, quarantine
from arbitrade.journal.statistics import JournalStatistics
from arbitrade.journal.writer import FsyncPolicy, Journal

__all__ = [
    "FsyncPolicy",
    "Journal",
    "JournalEntry",
    "JournalReader",
    "JournalRecovery",
    "JournalStatistics",
    "Quarantined",
    "TornTail",
    "quarantine",
    "read_journal",
]
