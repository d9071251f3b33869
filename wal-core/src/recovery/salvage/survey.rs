//! Walks the group headers of a segment that may be damaged anywhere.
//!
//! Deliberately absent: the records.

use std::io;

use wal_format::{ControlBody, GroupFacts, GroupKind, HEADER_LEN, Lsn};
use wal_io::{Storage, StorageFileExt};

use super::candidate::{Candidate, Survey};
use crate::segment::Salvage;

/// Surveys a segment up to the offset `limit`, and up to the LSN `last`.
pub(crate) fn survey(
    storage: &dyn Storage,
    candidate: &Candidate,
    limit: u64,
    last: Option<Lsn>,
) -> io::Result<Survey> {
    let mut survey = Survey {
        is_whole: true,
        ..Survey::default()
    };
    if let Some(link) = &candidate.link {
        survey.first = Some(link.first_lsn);
        survey.proven = link.watermark;
        survey.log_first = link.body.log_first;
    }
    let file = candidate.open(storage)?;
    let mut offset = HEADER_LEN;
    let from = (offset, Lsn::ZERO);
    let mut walk = Salvage::new(file.clone(), candidate.header, from, (limit, last));
    while offset < limit {
        let header = match walk.header_at(offset)? {
            Ok(header) => header,
            Err(_) => match walk.find_header(offset + 8)? {
                Some(header) => {
                    // What precedes the first table changes nothing.
                    survey.is_whole &= survey.control.is_none();
                    header
                }
                None => break,
            },
        };
        survey.first.get_or_insert(header.first_lsn);
        survey.highest = survey.highest.max(header.end_lsn());
        survey.proven = survey.proven.max(header.watermark);
        let says = matches!(header.kind, GroupKind::Cut | GroupKind::Control);
        // It ends within the file, so no more is allocated than that has.
        if says && header.fits(limit).is_ok() {
            let mut payload = vec![0; header.payload_len as usize];
            let filled = file.read_full_at(&mut payload, header.payload_offset().get())?;
            match GroupFacts::decode(&payload[..filled], &header) {
                Ok(said) => survey.note(&said),
                Err(_) => survey.is_whole = false,
            }
        }
        walk.expect(header.next_lsn());
        offset = candidate.header.alignment.round_up(header.end_offset());
        if header.kind == GroupKind::Footer {
            break;
        }
    }
    if let Some(footer) = candidate.footer.as_ref().filter(|footer| {
        footer.data_len.get() < limit && last.is_none_or(|last| footer.last_lsn <= last)
    }) {
        survey.highest = survey.highest.max(footer.last_lsn);
        survey.proven = survey.proven.max(footer.last_lsn);
        survey.log_first = survey.log_first.max(footer.log_first);
    }
    Ok(survey)
}

impl Survey {
    fn note(&mut self, said: &GroupFacts) {
        if let Some(first) = said.log_first() {
            self.log_first = self.log_first.max(first);
        }
        match said {
            GroupFacts::Control(ControlBody::Table(control)) => {
                self.control = Some(control.clone());
            }
            GroupFacts::Control(ControlBody::Changes(changes)) => {
                if let Some(control) = &mut self.control {
                    for change in changes {
                        control.apply(change);
                    }
                }
            }
            _ => {}
        }
    }
}
