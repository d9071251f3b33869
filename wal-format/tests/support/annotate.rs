//! A segment as annotated hexadecimal, field by field, as the worked example of `docs/format.md`
//! has it; and back to bytes.

use std::fmt::Write as _;

use wal_format::{GroupBody, GroupFacts, SegmentId, SegmentView};

const SEGMENT: &[(&str, usize)] = &[
    ("magic", 8),
    ("checksum", 4),
    ("version", 4),
    ("log_id", 16),
    ("segment_id", 8),
    ("epoch", 8),
    ("capacity", 8),
    ("record_limit", 8),
    ("node_id", 4),
    ("alignment", 4),
    ("allocated", 8),
    ("origin", 4),
    ("reserved", 4012),
];
const GROUP: &[(&str, usize)] = &[
    ("magic", 4),
    ("checksum", 4),
    ("epoch", 8),
    ("first_lsn", 8),
    ("watermark", 8),
    ("offset", 8),
    ("payload_len", 4),
    ("record_count", 4),
    ("previous", 4),
    ("digest", 4),
    ("kind", 2),
    ("reserved", 6),
];
const LINK: &[(&str, usize)] = &[
    ("predecessor", 8),
    ("predecessor_epoch", 8),
    ("end_lsn", 8),
    ("end_offset", 8),
    ("log_first", 8),
    ("end_digest", 4),
    ("cause", 2),
    ("reserved", 2),
    ("kept", 8),
    ("reserved", 8),
];
const CUT: &[(&str, usize)] = &[("log_first", 8)];
const FOOTER: &[(&str, usize)] = &[
    ("record_count", 8),
    ("last_lsn", 8),
    ("data_len", 8),
    ("successor", 8),
    ("log_first", 8),
    ("index_len", 4),
    ("data_digest", 4),
    ("reserved", 8),
];
const INDEX: &[(&str, usize)] = &[("index: first_lsn", 8), ("index: offset", 8)];
const TRAILER: &[(&str, usize)] = &[
    ("footer_offset", 8),
    ("footer_epoch", 8),
    ("trailer_checksum", 4),
    ("trailer_magic", 4),
];

/// All fields of a valid segment whose values are not compressed. Fields of zeros that are
/// reserved, and padding, are left out.
pub fn annotate(bytes: &[u8], id: SegmentId) -> String {
    let mut out = Out {
        bytes,
        at: 0,
        text: String::new(),
    };
    out.title("segment header");
    out.fields(SEGMENT);
    for group in SegmentView::parse(bytes, id)
        .expect("a segment header")
        .groups()
    {
        let group = group.expect("a valid group");
        out.at = group.header.offset.get() as usize;
        out.title(&format!("{:?} group", group.header.kind).to_lowercase());
        out.fields(GROUP);
        match group.body {
            GroupBody::Records(_) => {
                for (lsn, _, record) in group.records() {
                    out.title(&format!("record {lsn}: {:?}", record.kind()).to_lowercase());
                    out.record(record.head(), record.stored());
                }
            }
            GroupBody::Facts(facts) => out.facts(&facts),
        }
    }
    out.text
}

/// The bytes that annotated text stands for; what it leaves out is zero.
pub fn parse(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_hexdigit()))
    {
        let (at, rest) = line.split_once("  ").expect("an offset");
        let at = usize::from_str_radix(at, 16).expect("an offset");
        let hex = rest.split("  ").next().expect("bytes");
        let row = hex
            .split(' ')
            .map(|byte| u8::from_str_radix(byte, 16).expect("a byte"));
        bytes.resize(at, 0);
        bytes.extend(row);
    }
    bytes
}

struct Out<'a> {
    bytes: &'a [u8],
    at: usize,
    text: String,
}

impl Out<'_> {
    fn facts(&mut self, facts: &GroupFacts) {
        match facts {
            GroupFacts::Link(_) => self.fields(LINK),
            GroupFacts::Cut(_) => self.fields(CUT),
            GroupFacts::Footer(footer) => {
                self.fields(FOOTER);
                footer.index.iter().for_each(|_| self.fields(INDEX));
                self.fields(TRAILER);
            }
            GroupFacts::Stamp
            | GroupFacts::Gap
            | GroupFacts::Control(_)
            | GroupFacts::Index
            | GroupFacts::Other => {}
        }
    }

    fn title(&mut self, title: &str) {
        writeln!(self.text, "# {title}").unwrap();
    }

    fn fields(&mut self, fields: &[(&str, usize)]) {
        for (name, len) in fields {
            self.field(name, *len);
        }
    }

    fn field(&mut self, name: &str, len: usize) {
        let field = &self.bytes[self.at..self.at + len];
        if name != "reserved" || field.iter().any(|byte| *byte != 0) {
            for (row, bytes) in field.chunks(16).enumerate() {
                let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let name = if row == 0 { name } else { "" };
                let line = format!("{:06x}  {:47}  {name}", self.at + row * 16, hex.join(" "));
                writeln!(self.text, "{}", line.trim_end()).unwrap();
            }
        }
        self.at += len;
    }

    fn record(&mut self, head: &wal_format::RecordHead, stored: &[u8]) {
        self.field("checksum", 4);
        self.field("flags", 1);
        let varints = [
            ("key_len", head.kind.has_key()),
            ("value_len", head.kind.has_value()),
        ];
        for (name, _) in varints.iter().filter(|(_, present)| *present) {
            let len = self.bytes[self.at..]
                .iter()
                .take_while(|byte| **byte >= 0x80)
                .count()
                + 1;
            self.field(name, len);
        }
        if head.expiry.is_some() {
            self.field("expiry", 8);
        }
        let end = stored.len() - head.head_len;
        let key_len = head.key_len as usize;
        self.field("key", key_len);
        self.field("value", end - key_len);
    }
}
