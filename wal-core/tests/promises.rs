//! Every promise of the log, and a test named after it.
//!
//! ```text
//! policies.rs     what an append has done when it returns, under each policy, and what a crash takes back
//! calls.rs        sync, flush, LSNs, positions, waiting
//! batches.rs      batches are atomic, whole in one segment, and where watermarks stand
//! prefix.rs       after any crash the log is a prefix of what was appended
//! progress.rs     a call that waits comes to its end
//! ahead.rs        zeros written ahead of the records change nothing
//! control.rs      the control state is as durable as records, and belongs to the log
//! control_damage.rs  and no damage brings an older one back in silence
//! cursors.rs      a saved cursor is valid as long as its record is there
//! damage.rs       torn is not corrupt; damage to durable data is never dropped in silence
//! hostile.rs      no length read from disk is believed, no input makes it panic
//! lies.rs         nor do fields of version 2, or several damages at a time
//! lsns.rs         LSNs have an end: none above the highest is given
//! poison.rs       after a failed write or sync nothing goes on
//! waiters.rs      and everyone who waits is told
//! full_disk.rs    a full disk is met before a record is accepted
//! times.rs        a place is found by its time
//! truncation.rs   truncate_before is durable, and what it removed never comes back
//! rewinding.rs    truncate_after is all or nothing, and what it removed never comes back
//! closing.rs      close, drop, open again
//! lock.rs         one writer per directory
//! place.rs        a log is its directory, not its path
//! mixed.rs        a log with segments of both versions
//! order.rs        what is synced before what
//! in_flight.rs    one sync at a time for each file
//! beside.rs       a read-only open beside a writer
//! history.rs      readers of other handles are told of truncations, follow the log, and end where it ends
//! descriptors.rs  readers share a bounded number of open files
//! recovery.rs     recovery modifies no old segment, a read-only open changes no byte
//! repair.rs       a repair loses what is damaged and nothing else
//! in_place.rs     in version 2 of the format it touches no undamaged segment
//! replacements.rs  and what it has written anew is a segment like any other
//! replay.rs       a replay on several threads gives what reading in order gives
//! sizes.rs        a log that is there keeps its sizes, and says who wrote it
//! reserve.rs     with no byte free a log is opened, and truncated at both ends
//! reserved.rs     with no byte free a log of version 2 goes on, for a number of truncations and small records
//! reserved_crashes.rs  wherever the power fails meanwhile
//! seeking.rs      a record in the middle is found without those before it
//! salvage.rs      damage costs what it hits: reading past it, and the gaps it leaves
//! space.rs       what the log takes on disk does not grow with exits, kills and power losses
//! strangers.rs    files of another log, or of a copy of this one that went its own way
//! upgrade.rs      a log of version 1 goes on in version 2, and a mixed log is read and repaired as any
//! version_2.rs    what segments of version 2 say beside records
//! ```
//!
//! Most run without threads on a simulated machine, so that they are the same each time. Deliberately absent: random programs
//! (the crash suite), the async calls (`async_runtimes.rs`), and how much memory is used.

#![forbid(unsafe_code)]

mod common;

mod promises {
    mod ahead;
    mod batches;
    mod beside;
    mod calls;
    mod closing;
    mod control;
    mod control_damage;
    mod cursors;
    mod damage;
    mod descriptors;
    mod full_disk;
    mod history;
    mod hostile;
    mod in_flight;
    mod in_place;
    mod lies;
    mod lock;
    mod lsns;
    mod mixed;
    mod order;
    mod place;
    mod poison;
    mod policies;
    mod prefix;
    mod progress;
    mod recovery;
    mod repair;
    mod replacements;
    mod replay;
    mod reserve;
    mod reserved;
    mod reserved_crashes;
    mod rewinding;
    mod salvage;
    mod seeking;
    mod sizes;
    mod space;
    mod strangers;
    mod times;
    mod truncation;
    mod upgrade;
    mod version_2;
    mod waiters;
}
