//! A segment as annotated hexadecimal, field by field, as the worked examples of `docs/format.md` and
//! `docs/format-2.md` have it; and back to bytes.

use std::fmt::Write as _;

use wal_format::{GroupBody, GroupFacts, GroupHeader, SegmentId, SegmentView, Version};

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
];
const SEGMENT_1: &[(&str, usize)] = &[("reserved", 4012)];
const SEGMENT_2: &[(&str, usize)] = &[
    ("reserved", 4),
    ("required", 8),
    ("optional", 8),
    ("replaces", 8),
    ("reserved", 8),
    ("log_capacity", 8),
    ("log_record_limit", 8),
    ("reserved", 3960),
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
];
const GROUP_1: &[(&str, usize)] = &[("kind", 2), ("reserved", 6)];
const GROUP_2: &[(&str, usize)] = &[("kind", 1), ("flags", 1), ("time", 6)];
const LINK: &[(&str, usize)] = &[
    ("predecessor", 8),
    ("predecessor_epoch", 8),
    ("end_lsn", 8),
    ("end_offset", 8),
    ("log_first", 8),
    ("end_digest", 4),
    ("cause", 2),
];
const LINK_1: &[(&str, usize)] = &[("reserved", 2), ("kept", 8), ("reserved", 8)];
const LINK_2: &[(&str, usize)] = &[("stretches", 2), ("kept", 8), ("before", 8)];
const STRETCH: &[(&str, usize)] = &[("stretch: to", 8), ("stretch: history", 8)];
const CONTROL: &[(&str, usize)] = &[("form", 1), ("reserved", 3), ("entries", 4)];
const ENTRY: &[(&str, usize)] = &[("entry: tag", 1), ("reserved", 1), ("entry: len", 2)];
const NUMBER: &[(&str, usize)] = &[("entry: number", 8)];
const CONSUMER: &[(&str, usize)] = &[
    ("entry: lsn", 8),
    ("entry: history", 8),
    ("entry: flags", 8),
];
const CUT: &[(&str, usize)] = &[("log_first", 8)];
const FOOTER: &[(&str, usize)] = &[
    ("record_count", 8),
    ("last_lsn", 8),
    ("data_len", 8),
    ("successor", 8),
    ("log_first", 8),
];
const FOOTER_1: &[(&str, usize)] = &[("index_len", 4), ("data_digest", 4), ("reserved", 8)];
const FOOTER_2: &[(&str, usize)] = &[
    ("pages", 4),
    ("data_digest", 4),
    ("index_offset", 8),
    ("time_least", 8),
    ("time_greatest", 8),
    ("table_len", 4),
    ("reserved", 4),
];
const PAGE: &[(&str, usize)] = &[
    ("page: first_lsn", 8),
    ("page: first_offset", 8),
    ("page: reach", 8),
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
    let view = SegmentView::parse(bytes, id).expect("a segment header");
    let version = view.header().version;
    out.fields(if version < Version::V2 {
        SEGMENT_1
    } else {
        SEGMENT_2
    });
    for group in view.groups() {
        let group = group.expect("a valid group");
        out.at = group.header.offset.get() as usize;
        out.title(&format!("{:?} group", group.header.kind).to_lowercase());
        out.fields(GROUP);
        out.fields(if version < Version::V2 {
            GROUP_1
        } else {
            GROUP_2
        });
        match group.body {
            GroupBody::Records(_) => {
                for (lsn, _, record) in group.records() {
                    out.title(&format!("record {lsn}: {:?}", record.kind()).to_lowercase());
                    out.record(record.head(), record.stored());
                }
            }
            GroupBody::Facts(facts) => out.facts(&facts, &group.header),
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
    fn facts(&mut self, facts: &GroupFacts, header: &GroupHeader) {
        match facts {
            GroupFacts::Link(link) => {
                self.fields(LINK);
                self.fields(if header.version < Version::V2 {
                    LINK_1
                } else {
                    LINK_2
                });
                if header.version >= Version::V2 {
                    for _ in link.histories.stretches() {
                        self.fields(STRETCH);
                    }
                }
            }
            GroupFacts::Cut(_) => self.fields(CUT),
            GroupFacts::Footer(footer) => {
                self.fields(FOOTER);
                match &footer.more {
                    None => self.fields(FOOTER_1),
                    Some(more) => {
                        self.fields(FOOTER_2);
                        for _ in &more.pages {
                            self.fields(PAGE);
                        }
                        self.control();
                    }
                }
                for _ in &footer.index {
                    self.fields(INDEX);
                }
                let trailer: usize = TRAILER.iter().map(|(_, len)| len).sum();
                self.at = header.end_offset() as usize - trailer;
                self.fields(TRAILER);
            }
            GroupFacts::Control(_) => self.control(),
            GroupFacts::Stamp | GroupFacts::Gap | GroupFacts::Index | GroupFacts::Other => {}
        }
    }

    /// A table, or changes.
    fn control(&mut self) {
        self.fields(CONTROL);
        let count = &self.bytes[self.at - 4..self.at];
        for _ in 0..u32::from_le_bytes(count.try_into().expect("four bytes")) {
            let tag = self.bytes[self.at];
            self.fields(ENTRY);
            let len = &self.bytes[self.at - 2..self.at];
            let len = u16::from_le_bytes(len.try_into().expect("two bytes"));
            let end = self.at + usize::from(len);
            let name = match tag {
                1 | 2 => self.fields_and(NUMBER, ""),
                3 => self.fields_and(CONSUMER, "entry: name"),
                4 => "entry: name",
                _ => "entry: body",
            };
            if self.at < end {
                self.field(name, end - self.at);
            }
        }
    }

    fn fields_and<'n>(&mut self, fields: &[(&str, usize)], name: &'n str) -> &'n str {
        self.fields(fields);
        name
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
