//! `wal cat`: the records of a log, as bytes or as JSON Lines.

use std::io::{self, Write};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use wal_core::blocking::{Reader, Wal};
use wal_core::{Error, Lsn, OnDamage, Position, Record, RecordKind};

use crate::errors;
use crate::output::{Exit, Failure, data, json_line, message};

const AFTER_HELP: &str = "\
Takes no lock. Beside a running `wal append` it prints the records that had been written to the files when it started.

If the log is damaged, it prints the records before the damage, reports the damage on standard error, and exits with 4. With \
--skip-damage it prints every record that can be read, reports each gap, and exits with 4 if there was one. A loss that a \
repair recorded is treated in the same way, with exit code 6.

With --json each record is one object on a line: lsn, segment_id, offset, kind (data, put or delete), key, value, \
expires_at_ms. A part that the record does not have is left out; bytes that are not UTF-8 are in key_base64 or \
value_base64 instead.

Example:
  wal cat mylog --from 1000 --limit 10 --json";

/// Print the records, one a line
///
/// The payload of data and the value of a put are printed as they are; a delete prints nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The log's directory
    dir: PathBuf,

    /// Start at this LSN; 0 is the first record that is left
    #[arg(
        long,
        value_name = "LSN",
        default_value_t = 0,
        hide_default_value = true
    )]
    from: u64,

    /// Print at most N records
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Continue after records that cannot be read; report each gap on standard error
    #[arg(long)]
    skip_damage: bool,

    /// One JSON object a record
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let wal = Wal::builder(&args.dir).read_damaged().open()?;
    let mut reader = wal.read_from(Lsn::new(args.from))?;
    let mut out = data();
    // Records that a running writer adds from now on are not printed: it may be faster than this command.
    let mut last = wal.last_lsn();
    if args.skip_damage {
        reader = reader.on_damage(OnDamage::Skip);
        // Records may follow damage at the end, and no writer appends to a log that does not open.
        if Wal::builder(&args.dir).read_only().open().is_err() {
            last = Lsn::new(u64::MAX);
        }
    }
    let outcome = print(&mut reader, last, args, &mut out);
    // Print the records before reporting the error that follows them.
    match out.flush() {
        // The exit code reports what was found, even if nobody reads the records.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::output(&error)),
        Ok(()) | Err(_) => outcome,
    }
}

fn print(
    reader: &mut Reader,
    last: Lsn,
    args: &Args,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut exit = Exit::Clean;
    while left > 0 {
        // Damage at the end is found after the last record, so stop there.
        let (record, position) = match reader.next_record() {
            Ok(Some(found)) => found,
            Ok(None) => break,
            Err(gap @ Error::Gap { .. }) if args.skip_damage => {
                message(errors::describe(&gap));
                // Damage outweighs a loss that was recorded.
                if exit != Exit::Corruption {
                    exit = Exit::of(&gap);
                }
                continue;
            }
            Err(error) => {
                let goes_on = Exit::of(&error) == Exit::Gaps;
                let hint = if goes_on {
                    "; add --skip-damage to print the records after it"
                } else {
                    ""
                };
                let text = format!("{}{hint}", errors::describe(&error));
                return Err(Failure::new(Exit::of(&error), text));
            }
        };
        if position.lsn > last {
            break;
        }
        let written = if args.json {
            json_line(out, &JsonRecord::of(&record, position))
        } else {
            bytes(out, &record)
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(exit),
            written => written.map_err(|error| Failure::output(&error))?,
        }
        left -= 1;
    }
    Ok(exit)
}

fn bytes(out: &mut impl Write, record: &Record) -> io::Result<()> {
    if !record.kind().has_value() {
        return Ok(());
    }
    out.write_all(&record.value)?;
    out.write_all(b"\n")
}

/// A record as JSON.
#[derive(Debug, Serialize)]
struct JsonRecord<'a> {
    lsn: u64,
    segment_id: u64,
    offset: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
}

impl<'a> JsonRecord<'a> {
    fn of(record: &'a Record, position: Position) -> Self {
        let kind = record.kind();
        let (key, key_base64) = text_or_base64(kind.has_key().then_some(&record.key));
        let (value, value_base64) = text_or_base64(kind.has_value().then_some(&record.value));
        Self {
            lsn: position.lsn.get(),
            segment_id: position.segment_id.get(),
            offset: position.offset.get(),
            kind: match kind {
                RecordKind::Put => "put",
                RecordKind::Delete => "delete",
                _ => "data",
            },
            key,
            key_base64,
            value,
            value_base64,
            expires_at_ms: record.expires_at().map(wal_core::UnixMillis::get),
        }
    }
}

fn text_or_base64(bytes: Option<&impl AsRef<[u8]>>) -> (Option<&str>, Option<String>) {
    let Some(bytes) = bytes.map(AsRef::as_ref) else {
        return (None, None);
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use wal_core::UnixMillis;

    use super::*;

    fn json(record: &Record) -> String {
        let position = Position {
            lsn: Lsn::new(7),
            segment_id: 2.into(),
            offset: 4096.into(),
        };
        serde_json::to_string(&JsonRecord::of(record, position)).unwrap()
    }

    fn text(record: &Record) -> Vec<u8> {
        let mut out = Vec::new();
        bytes(&mut out, record).unwrap();
        out
    }

    #[test]
    fn each_kind_prints_what_it_has() {
        assert_eq!(text(&Record::data(b"a\xFF\nb")), b"a\xFF\nb\n");
        assert_eq!(text(&Record::put("k", "v")), b"v\n");
        assert_eq!(text(&Record::put("k", "")), b"\n");
        assert_eq!(text(&Record::delete("k")), b"");
    }

    #[test]
    fn each_kind_is_an_object_with_what_it_has() {
        let at = r#"{"lsn":7,"segment_id":2,"offset":4096,"#;
        assert_eq!(
            json(&Record::data("a\"b")),
            format!(r#"{at}"kind":"data","value":"a\"b"}}"#)
        );
        assert_eq!(
            json(&Record::put(b"\xFF", "").with_expiry(UnixMillis::new(99))),
            format!(r#"{at}"kind":"put","key_base64":"/w==","value":"","expires_at_ms":99}}"#)
        );
        assert_eq!(
            json(&Record::delete("k")),
            format!(r#"{at}"kind":"delete","key":"k"}}"#)
        );
        assert_eq!(
            json(&Record::data(b"\0\xFE")),
            format!(r#"{at}"kind":"data","value_base64":"AP4="}}"#)
        );
    }
}
