//! A program as one line of text, and back: what a failure prints and `--replay` takes.
//!
//! Words are separated by spaces, lives by `/`. The first part is the setup (`key=value`); a life is what it begins with, its
//! troubles, its calls, its end, and its choices: `~seed`, or `=` and the choices themselves.
//!
//! ```text
//! seed=7 policy=batch:5000 segment=8192 ... / look append:20 sync eio:sync-data:3:1 crash:12:during =0.1.0.2 / close ~5
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use wal_core::{Alignment, FsyncPolicy, WalConfig};
use wal_io::fault::{
    Background, CrashMode, DirectoryOrder, FaultConfig, Moment, NameSync, OperationKind, Overwrite,
    Rename, SectorSize, SyncFailure, SystemError, Unpersisted,
};

use crate::program::{
    Call, Choices, End, Eye, Format, Ill, Life, Meddling, Program, Setup, Trouble, Where,
};

/// A text that is no program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAProgram(String);

impl fmt::Display for NotAProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a program: {}", self.0)
    }
}

impl std::error::Error for NotAProgram {}

fn wrong<T>(text: impl Into<String>) -> Result<T, NotAProgram> {
    Err(NotAProgram(text.into()))
}

/// The words of an enumeration.
type Words<T> = [(&'static str, T)];

const FORMATS: &Words<Format> = &[
    ("1", Format::One),
    ("2", Format::Two),
    ("1-then-2", Format::Upgraded),
];
const PADDINGS: &Words<Option<Alignment>> = &[
    ("0", None),
    ("512", Some(Alignment::Sector512)),
    ("4096", Some(Alignment::Sector4096)),
];
const SECTORS: &Words<SectorSize> = &[("512", SectorSize::B512), ("4096", SectorSize::B4096)];
const CRASHES: &Words<CrashMode> = &[("subset", CrashMode::Subset), ("prefix", CrashMode::Prefix)];
const ORDERS: &Words<DirectoryOrder> = &[
    ("unordered", DirectoryOrder::Unordered),
    ("ordered", DirectoryOrder::Ordered),
];
const NAMES: &Words<NameSync> = &[
    ("strict", NameSync::Strict),
    ("with-file", NameSync::WithFile),
];
const OVERWRITES: &Words<Overwrite> = &[
    ("powersafe", Overwrite::Powersafe),
    ("torn", Overwrite::Torn),
];
const RESTS: &Words<Unpersisted> = &[("zeros", Unpersisted::Zeros), ("stale", Unpersisted::Stale)];
const RENAMES: &Words<Rename> = &[
    ("one-step", Rename::Atomic),
    ("two-steps", Rename::LinkThenUnlink),
];
const FAILURES: &Words<SyncFailure> = &[
    ("ext4", SyncFailure::Ext4),
    ("xfs", SyncFailure::Xfs),
    ("btrfs", SyncFailure::Btrfs),
    ("btrfs-revert", SyncFailure::BtrfsRevert),
    ("ext4-journal", SyncFailure::Ext4Journal),
    ("lying", SyncFailure::Lying),
];
const MOMENTS: &Words<Moment> = &[
    ("before", Moment::Before),
    ("during", Moment::During),
    ("after", Moment::After),
];
const ERRORS: &Words<SystemError> = &[
    ("eio", SystemError::Io),
    ("enospc", SystemError::NoSpace),
    ("edquot", SystemError::QuotaExceeded),
    ("eintr", SystemError::Interrupted),
    ("emfile", SystemError::TooManyOpenFiles),
    ("erofs", SystemError::ReadOnly),
    ("efbig", SystemError::FileTooLarge),
    ("eacces", SystemError::PermissionDenied),
];
const PLACES: &Words<Where> = &[
    ("anywhere", Where::Anywhere),
    ("opening", Where::Opening),
    ("make-directory", Where::Kind(OperationKind::MakeDirectory)),
    ("list", Where::Kind(OperationKind::List)),
    ("open", Where::Kind(OperationKind::Open)),
    ("create-file", Where::Kind(OperationKind::CreateFile)),
    ("rename", Where::Kind(OperationKind::Rename)),
    ("remove", Where::Kind(OperationKind::Remove)),
    ("sync-directory", Where::Kind(OperationKind::SyncDirectory)),
    ("lock", Where::Kind(OperationKind::Lock)),
    ("length", Where::Kind(OperationKind::Length)),
    ("read", Where::Kind(OperationKind::Read)),
    ("write", Where::Kind(OperationKind::Write)),
    ("sync-data", Where::Kind(OperationKind::SyncData)),
    ("allocate", Where::Kind(OperationKind::Allocate)),
    ("set-length", Where::Kind(OperationKind::SetLength)),
    ("evict", Where::Kind(OperationKind::Evict)),
    ("prewrite", Where::Kind(OperationKind::Prewrite)),
];
/// Calls without a number.
const PLAIN: &Words<Call> = &[
    ("sync", Call::Sync),
    ("flush", Call::Flush),
    ("read-all", Call::ReadAll),
    ("follow", Call::Follow(Eye::Writer)),
    ("follow-other", Call::Follow(Eye::Other)),
    ("look-beside", Call::Look),
    ("second-writer", Call::SecondWriter),
    ("move-directory", Call::Meddle(Meddling::Move)),
    ("replace-directory", Call::Meddle(Meddling::Replace)),
    ("remove-directory", Call::Meddle(Meddling::RemoveDirectory)),
    ("remove-newest", Call::Meddle(Meddling::RemoveNewest)),
    ("remove-lock", Call::Meddle(Meddling::RemoveLock)),
    ("closing", Call::Closing),
    ("read-only", Call::ReadOnly),
    ("relief", Call::Relief),
];
/// Calls with one.
const COUNTED: &Words<fn(u32) -> Call> = &[
    ("append", Call::Append),
    ("append-durable", Call::AppendDurable),
    ("fill", Call::Fill),
    ("wait-durable", Call::WaitDurable),
    ("read-from", Call::ReadFrom),
    ("truncate-before", Call::TruncateBefore),
    ("truncate-with", Call::TruncateWith),
    ("append-reserved", Call::AppendReserved),
    ("truncate-after", Call::TruncateAfter),
    ("term", Call::Term),
    ("no-consumer", Call::NoConsumer),
    ("set-control", Call::SetControl),
    ("fill-disk", Call::FillDisk),
    ("few-files", Call::FewFiles),
];

fn word<T: PartialEq>(words: &Words<T>, value: &T) -> &'static str {
    let known = words.iter().find(|(_, known)| known == value);
    known.map_or("unknown", |(word, _)| word)
}

fn value<T: Copy>(words: &Words<T>, word: &str) -> Result<T, NotAProgram> {
    match words.iter().find(|(known, _)| *known == word) {
        Some((_, value)) => Ok(*value),
        None => wrong(format!("{word:?} is unknown here")),
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, NotAProgram> {
    match text.parse() {
        Ok(number) => Ok(number),
        Err(_) => wrong(format!("{text:?} is no number that fits")),
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed={} {}", self.seed, self.setup)?;
        for life in &self.lives {
            write!(f, " / {life}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.config.fsync_policy {
            FsyncPolicy::Always => f.write_str("policy=always")?,
            FsyncPolicy::Batch(window) => write!(f, "policy=batch:{}", window.as_micros())?,
            _ => f.write_str("policy=os")?,
        }
        let machine = &self.machine;
        write!(
            f,
            " segment={} preallocate={} buffer={} padding={} sector={} crash={} directory={} names={} overwrite={} rest={} rename={} sync={}",
            self.config.max_segment_size,
            u8::from(self.config.preallocate),
            self.buffer,
            word(PADDINGS, &self.padding),
            word(SECTORS, &machine.sector),
            word(CRASHES, &machine.crash),
            word(ORDERS, &machine.directory),
            word(NAMES, &machine.names),
            word(OVERWRITES, &machine.overwrite),
            word(RESTS, &machine.unpersisted),
            word(RENAMES, &machine.rename),
            word(FAILURES, &machine.sync_failure),
        )?;
        match self.format {
            Format::One => Ok(()),
            format => write!(f, " format={}", word(FORMATS, &format)),
        }
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.look_first {
            f.write_str("look ")?;
        }
        if self.background == Background::Busy {
            f.write_str("busy ")?;
        }
        for trouble in &self.troubles {
            match trouble.ill {
                Ill::Error(error) => f.write_str(word(ERRORS, &error))?,
                Ill::Short(bytes) => write!(f, "short-{bytes}")?,
                Ill::Slow(micros) => write!(f, "slow-{micros}")?,
            }
            let place = word(PLACES, &trouble.on);
            write!(f, ":{place}:{}:{} ", trouble.after, trouble.times)?;
        }
        for call in &self.calls {
            write!(f, "{call} ")?;
        }
        write!(f, "{} ", self.end)?;
        match &self.choices {
            Choices::Seed(seed) => write!(f, "~{seed}"),
            Choices::Script(script) => {
                let choices: Vec<String> = script.iter().map(ToString::to_string).collect();
                write!(f, "={}", choices.join("."))
            }
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Batch(count, len) => write!(f, "batch:{count}:{len}"),
            Self::Consumer(which, back) => write!(f, "consumer:{which}:{back}"),
            Self::Pass(time) => write!(f, "pass:{}", time.as_micros()),
            mut call => {
                let Some(count) = call.numbers().first().map(|count| **count) else {
                    return f.write_str(word(PLAIN, self));
                };
                let known = COUNTED.iter().find(|(_, call)| call(count) == *self);
                write!(f, "{}:{count}", known.map_or("unknown", |(name, _)| name))
            }
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(at, moment) => write!(f, "crash:{at}:{}", word(MOMENTS, moment)),
            Self::KillAt(at, moment) => write!(f, "kill:{at}:{}", word(MOMENTS, moment)),
            Self::Kill => f.write_str("kill"),
            Self::Drop => f.write_str("drop"),
            Self::Close => f.write_str("close"),
        }
    }
}

impl FromStr for Program {
    type Err = NotAProgram;

    fn from_str(text: &str) -> Result<Self, NotAProgram> {
        let mut parts = text.trim().split('/');
        let (seed, setup) = setup(parts.next().unwrap_or(""))?;
        let lives = parts.map(life).collect::<Result<_, _>>()?;
        Ok(Self { seed, setup, lives })
    }
}

fn setup(text: &str) -> Result<(u64, Setup), NotAProgram> {
    let mut seed = 0;
    let mut machine = FaultConfig::default();
    let mut setup = Setup {
        machine,
        config: WalConfig {
            max_segment_size: 8 << 10,
            fsync_policy: FsyncPolicy::Always,
            preallocate: true,
            node_id: 7,
        },
        buffer: 4 << 10,
        padding: None,
        format: Format::One,
    };
    for pair in text.split_whitespace() {
        let Some((key, given)) = pair.split_once('=') else {
            return wrong(format!("{pair:?} is no setting"));
        };
        match key {
            "seed" => seed = number(given)?,
            "policy" => {
                setup.config.fsync_policy = match given.split_once(':') {
                    Some(("batch", window)) => {
                        FsyncPolicy::Batch(Duration::from_micros(number(window)?))
                    }
                    None if given == "always" => FsyncPolicy::Always,
                    None if given == "os" => FsyncPolicy::Os,
                    _ => return wrong(format!("{given:?} is no policy")),
                }
            }
            "segment" => setup.config.max_segment_size = number(given)?,
            "preallocate" => setup.config.preallocate = number::<u8>(given)? != 0,
            "buffer" => setup.buffer = number(given)?,
            "padding" => setup.padding = value(PADDINGS, given)?,
            "format" => setup.format = value(FORMATS, given)?,
            "sector" => machine.sector = value(SECTORS, given)?,
            "crash" => machine.crash = value(CRASHES, given)?,
            "directory" => machine.directory = value(ORDERS, given)?,
            "names" => machine.names = value(NAMES, given)?,
            "overwrite" => machine.overwrite = value(OVERWRITES, given)?,
            "rest" => machine.unpersisted = value(RESTS, given)?,
            "rename" => machine.rename = value(RENAMES, given)?,
            "sync" => machine.sync_failure = value(FAILURES, given)?,
            _ => return wrong(format!("{key:?} is no setting")),
        }
    }
    setup.machine = machine;
    Ok((seed, setup))
}

fn life(text: &str) -> Result<Life, NotAProgram> {
    let mut life = Life::new(Vec::new(), End::Drop, Choices::Script(Vec::new()));
    for word in text.split_whitespace() {
        if let Some(seed) = word.strip_prefix('~') {
            life.choices = Choices::Seed(number(seed)?);
        } else if let Some(script) = word.strip_prefix('=') {
            let numbers = script.split('.').filter(|choice| !choice.is_empty());
            life.choices = Choices::Script(numbers.map(number).collect::<Result<_, _>>()?);
        } else {
            read_word(word, &mut life)?;
        }
    }
    Ok(life)
}

fn read_word(word: &str, life: &mut Life) -> Result<(), NotAProgram> {
    let parts: Vec<&str> = word.split(':').collect();
    match parts[..] {
        ["look"] => life.look_first = true,
        ["busy"] => life.background = Background::Busy,
        ["kill"] => life.end = End::Kill,
        ["drop"] => life.end = End::Drop,
        ["close"] => life.end = End::Close,
        ["crash", at, moment] => {
            life.end = End::Crash(number(at)?, value(MOMENTS, moment)?);
        }
        ["kill", at, moment] => {
            life.end = End::KillAt(number(at)?, value(MOMENTS, moment)?);
        }
        [ill, place, after, times] => {
            let ill = match ill.split_once('-') {
                Some(("short", bytes)) => Ill::Short(number(bytes)?),
                Some(("slow", micros)) => Ill::Slow(number(micros)?),
                _ => Ill::Error(value(ERRORS, ill)?),
            };
            life.troubles.push(Trouble {
                ill,
                on: value(PLACES, place)?,
                after: number(after)?,
                times: number(times)?,
            });
        }
        ["batch", count, len] => life.calls.push(Call::Batch(number(count)?, number(len)?)),
        ["consumer", which, back] => {
            life.calls
                .push(Call::Consumer(number(which)?, number(back)?));
        }
        ["pass", time] => {
            let time = Duration::from_micros(number(time)?);
            life.calls.push(Call::Pass(time));
        }
        [call, count] => life.calls.push(value(COUNTED, call)?(number(count)?)),
        [call] => life.calls.push(value(PLAIN, call)?),
        _ => return wrong(format!("{word:?} is no call")),
    }
    Ok(())
}
