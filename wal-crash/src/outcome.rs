//! What runs came to, counted.

use std::fmt;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// States that a crash left: `power_losses` and `kills`.
    pub states: u64,
    /// States after a power loss.
    pub power_losses: u64,
    /// States after the death of the process.
    pub kills: u64,
    /// States left by a recovery that was itself cut short: of a state that was not, of one that was, and deeper.
    pub nested: [u64; 3],
    /// States left by a life in which an error of the system struck, by what a failing sync does there: in the order of
    /// `SyncFailure`.
    pub after_errors: [u64; 6],
    /// States left by a life with background write-back and eviction.
    pub background: u64,
    /// Opens for writing that succeeded, each compared with the model.
    pub opens: u64,
    /// Read-only opens, each compared with the model.
    pub looks: u64,
    /// Records that a crash had left unproven and recovery kept.
    pub unproven: u64,
    /// Saved cursors that a log was asked about, and how many of them named a record that is gone.
    pub cursors: u64,
    /// See `cursors`.
    pub cursors_cut: u64,
    /// Changes of the control state that were made.
    pub changes: u64,
    /// Control states that were compared, and consumers in them that a truncation had moved.
    pub controls: u64,
    /// See `controls`.
    pub moved: u64,
    /// Calls that met a full disk and left the log as it was.
    pub full: u64,
    /// Calls that failed because no file could be opened, and left the log as it was.
    pub no_descriptor: u64,
    /// Calls that were told that the log's directory or file is not where it was.
    pub displaced: u64,
    /// Other logs at the old paths of moved ones, each found untouched.
    pub neighbours: u64,
    /// Logs that were damaged at rest, and repaired after the repair had lost its power or not.
    pub repaired: u64,
    /// Segments that these repairs have written anew in their places.
    pub replaced: u64,
    /// Lives with calls that took their time.
    pub slow: u64,
    /// After syncs that claimed what is not true.
    pub untrue: Untrue,
}

/// What an open said of a log whose disk had lied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Untrue {
    /// It refused, naming the damage.
    pub loud: u64,
    /// Nothing was missing, by luck.
    pub lossless: u64,
    /// Records were missing, or dropped ones were back, and nothing on the disk testifies to that.
    pub quiet: u64,
}

impl Outcome {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.states += other.states;
        self.power_losses += other.power_losses;
        self.kills += other.kills;
        self.background += other.background;
        self.opens += other.opens;
        self.looks += other.looks;
        self.unproven += other.unproven;
        self.cursors += other.cursors;
        self.cursors_cut += other.cursors_cut;
        self.changes += other.changes;
        self.controls += other.controls;
        self.moved += other.moved;
        self.full += other.full;
        self.no_descriptor += other.no_descriptor;
        self.displaced += other.displaced;
        self.neighbours += other.neighbours;
        self.repaired += other.repaired;
        self.replaced += other.replaced;
        self.slow += other.slow;
        self.untrue.loud += other.untrue.loud;
        self.untrue.lossless += other.untrue.lossless;
        self.untrue.quiet += other.untrue.quiet;
        for (mine, others) in self.nested.iter_mut().zip(other.nested) {
            *mine += others;
        }
        for (mine, others) in self.after_errors.iter_mut().zip(other.after_errors) {
            *mine += others;
        }
    }
}

/// A line for each kind.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nested, untrue, .. } = self;
        writeln!(f, "crash states                {}", self.states)?;
        writeln!(f, "  after a power loss        {}", self.power_losses)?;
        writeln!(f, "  after a kill              {}", self.kills)?;
        writeln!(
            f,
            "  of a recovery, depth 1    {}\n  depth 2                   {}\n  depth 3 and more          {}",
            nested[0], nested[1], nested[2]
        )?;
        writeln!(f, "  with background work      {}", self.background)?;
        let profiles = [
            "ext4",
            "xfs",
            "btrfs",
            "btrfs-revert",
            "ext4-journal",
            "lying",
        ];
        for (name, count) in profiles.iter().zip(self.after_errors) {
            writeln!(f, "  after an error, {name:<12}{count}")?;
        }
        writeln!(f, "opens for writing           {}", self.opens)?;
        writeln!(f, "read-only opens             {}", self.looks)?;
        writeln!(f, "unproven records kept       {}", self.unproven)?;
        writeln!(
            f,
            "cursors, and those cut off  {}, {}",
            self.cursors, self.cursors_cut
        )?;
        writeln!(
            f,
            "control states, consumers moved, changes  {}, {}, {}",
            self.controls, self.moved, self.changes
        )?;
        writeln!(f, "calls on a full disk        {}", self.full)?;
        writeln!(f, "calls without a descriptor  {}", self.no_descriptor)?;
        writeln!(f, "calls of displaced logs     {}", self.displaced)?;
        writeln!(f, "logs at others' old paths   {}", self.neighbours)?;
        writeln!(
            f,
            "damaged logs repaired       {}, {} segments in place",
            self.repaired, self.replaced
        )?;
        writeln!(f, "lives with slow calls       {}", self.slow)?;
        write!(
            f,
            "after untrue syncs          {} loud, {} lossless, {} with records missing that nothing testifies to",
            untrue.loud, untrue.lossless, untrue.quiet
        )
    }
}
