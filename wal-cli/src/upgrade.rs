//! `wal upgrade`: lets a log continue in the newest version of the on-disk format.

use std::path::{Path, PathBuf};

use serde::Serialize;
use wal_core::blocking::Wal;
use wal_core::{Error, FormatVersion, WalConfig};

use crate::facts::FormatVersions;
use crate::output::{Exit, Failure, Table, location, report};

const AFTER_HELP: &str = "\
A log keeps the version of the on-disk format in which it was created. After this command, new records are written in version \
2. It adds one empty segment. It changes no older segment and copies no record. There is no way back.

Upgrade the readers first, then the writer: programs that know only version 1 refuse the log from then on, also those that \
have it open. Version 2 is a draft: until it is frozen, a later release may be unable to read it. New logs have it already.

Exit codes: 0 upgraded, or nothing to do; 1 it could not be done, and the log keeps its version; 4 corruption; 5 another \
process has the log open for writing.

Example:
  wal upgrade mylog --dry-run; wal upgrade mylog && wal stat mylog";

/// Continue a log in the newest version of the on-disk format
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The log's directory
    dir: PathBuf,

    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// The version that logs are upgraded to.
const NEW: FormatVersion = FormatVersion::NEWEST;

#[derive(Debug, Serialize)]
struct Upgraded {
    /// `nothing`, `planned` or `upgraded`.
    done: &'static str,
    format_version: u32,
    /// Of the segments that there are now.
    format_versions: FormatVersions,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let found = look(&args.dir)?;
    let done = match found.newest() {
        // A log without a segment has no version yet.
        None | Some(NEW) => "nothing",
        Some(_) => "planned",
    };
    let mut upgraded = Upgraded {
        done,
        format_version: NEW.get(),
        format_versions: found,
    };
    if done == "planned" {
        if args.dry_run {
            if let Some(writer) = wal_core::writer(&args.dir)? {
                let (location, pid) = (location(&args.dir), writer.pid);
                return Err(Error::Locked { location, pid }.into());
            }
        } else {
            upgraded.format_versions = upgrade(&args.dir)?;
            upgraded.done = "upgraded";
        }
    }
    report(&upgraded.table(), args.json.then_some(&upgraded))?;
    Ok(Exit::Clean)
}

fn look(dir: &Path) -> Result<FormatVersions, Failure> {
    let wal = Wal::builder(dir).read_only().open()?;
    Ok(FormatVersions::of(wal.recovery_report()))
}

/// Closing the log makes its first segment of the new version.
fn upgrade(dir: &Path) -> Result<FormatVersions, Failure> {
    // A segment that grows in steps needs the least space.
    let config = WalConfig {
        preallocate: false,
        ..WalConfig::default()
    };
    let builder = Wal::builder(dir).config(config).format_version(NEW);
    builder.keep_segment_size().keep_node_id().open()?.close()?;
    let found = look(dir)?;
    // A full disk does not keep a log from being closed.
    if found.newest() != Some(NEW) {
        let location = location(dir);
        let what = format!("a segment of version {}", NEW.get()).into();
        return Err(Error::NoSpace { location, what }.into());
    }
    Ok(found)
}

impl Upgraded {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let done = match self.done {
            "nothing" if self.format_versions.newest().is_none() => {
                "nothing to do: the log has no segment, and so no version yet"
            }
            "nothing" => "nothing to do",
            "planned" => "nothing yet; without --dry-run it would do what follows",
            _ => "upgraded",
        };
        table.row("done", done);
        if self.done == "planned" {
            let new = self.format_version;
            table.row("new segment", format_args!("in format version {new}"));
        }
        self.format_versions.row(&mut table);
        table
    }
}
