//! The calls that read: where the log stands, cursors, times, readers, replay.

/// Makes them for a face, and its reader.
macro_rules! read_calls {
    ($($async:ident $await:ident $cancel:literal $static:lifetime)?) => {
        impl Wal {
            /// The highest LSN known to be on stable storage. It is lowered only when `truncate_after` removes records.
            /// Takes no lock.
            ///
            /// A read-only handle reads the files to answer this. If they cannot be read, it returns what it found
            /// last.
            #[must_use]
            pub fn durable_lsn(&self) -> Lsn {
                self.handle.durable_lsn()
            }

            /// The cursor of the record that has the LSN `lsn` now. [`Lsn::ZERO`] stands for a reader that has seen no
            /// record, if the log starts at LSN 1. The LSN before the log's first one has a cursor too, as after
            /// [`truncate_before`](Self::truncate_before).
            ///
            /// The record need not be durable. If a crash takes it, its cursor is no longer valid. A read-only handle
            /// reads the files to answer.
            ///
            /// # Errors
            /// [`NotAppended`](crate::Error::NotAppended) for an LSN above the last one,
            /// [`Truncated`](crate::Error::Truncated) for one that is no longer in the log. On a read-only handle also
            /// the errors of reading the files: [`Io`](crate::Error::Io), [`Corruption`](crate::Error::Corruption),
            /// [`UnknownVersion`](crate::Error::UnknownVersion).
            pub fn cursor(&self, lsn: Lsn) -> Result<Cursor> {
                self.handle.lineage()?.cursor(lsn)
            }

            /// Whether the record that the cursor names is still in the log: the same record, not only the same LSN.
            ///
            /// To continue from a cursor, make the reader first, with [`follow_from`](Self::follow_from), and check the
            /// cursor then. If records are truncated after the check, the reader returns the error. A read-only handle
            /// reads the files to answer.
            ///
            /// # Errors
            /// - [`Truncated`](crate::Error::Truncated): the record is no longer in the log. With `kept`, the newest
            ///   records were truncated or lost: discard everything read above `kept`, and continue at `kept + 1`. With
            ///   neither `kept` nor a first LSN above the cursor's, nothing tells how much of what was read is in the
            ///   log: start from the first LSN.
            /// - [`OtherLog`](crate::Error::OtherLog): the cursor belongs to another log.
            /// - On a read-only handle also the errors of reading the files, as for [`cursor`](Self::cursor).
            pub fn check_cursor(&self, cursor: &Cursor) -> Result<()> {
                self.handle.lineage()?.check(cursor)
            }

            /// The LSN from which on the log has all records that were appended at or after `time`: milliseconds since
            /// 1970, by the log's clock. At most the records of one group are older. If there are no such records, it
            /// is the LSN that the next record gets.
            ///
            /// The log's clock is the boot-time clock, anchored at the wall clock when the log is opened, and not
            /// earlier than the latest record. It is corrected when the wall clock has been set. So times may go back,
            /// and then the first place counts where `time` was reached. Records that were written in version 1 of the
            /// format have no time, and count as older than any.
            ///
            /// Reads the footers of all segments once, and then a page and a few group headers of one segment. Segments
            /// without a footer are searched by their group headers.
            ///
            /// # Errors
            /// [`Io`](crate::Error::Io), [`MissingSegment`](crate::Error::MissingSegment),
            /// [`OtherProcess`](crate::Error::OtherProcess).
            $(
                #[doc = $cancel]
                /// It changes nothing.
            )?
            pub $($async)? fn lsn_at(&self, time: UnixMillis) -> Result<Lsn> {
                SHELL.run(|| self.handle.lsn_at(time))
            }

            /// The control state: a term and consumers. It belongs to the log, and no truncation removes any of it. It
            /// includes changes that are not durable yet.
            ///
            /// A read-only handle reads the newest segments to answer this.
            ///
            /// # Errors
            /// [`Poisoned`](crate::Error::Poisoned), or the errors of opening the log on a read-only handle.
            #[doc(hidden)]
            pub fn control(&self) -> Result<ControlState> {
                self.handle.control()
            }

            /// The first LSN of the log.
            #[must_use]
            pub fn first_lsn(&self) -> Lsn {
                self.handle.first_lsn()
            }

            /// The last LSN given to a record; below [`first_lsn`](Self::first_lsn) if the log is empty.
            #[must_use]
            pub fn last_lsn(&self) -> Lsn {
                self.handle.last_lsn()
            }

            /// Most bytes of key and uncompressed value that one record may have.
            #[must_use]
            pub fn record_limit(&self) -> u64 {
                self.handle.record_limit()
            }

            /// Length of new segments in bytes: `max_segment_size`, or what the log
            /// [keeps](crate::Builder::keep_segment_size).
            #[must_use]
            pub fn segment_size(&self) -> u64 {
                self.handle.segment_size()
            }

            /// Where the next record goes, if nothing rotates before it.
            pub $($async)? fn current_position(&self) -> Position {
                self.handle.current_position()
            }

            /// The segments of the log, oldest first.
            ///
            /// # Errors
            /// [`OtherProcess`](crate::Error::OtherProcess) in a fork of the process that opened the log.
            pub $($async)? fn list_segments(&self) -> Result<Vec<SegmentId>> {
                self.handle.list_segments()
            }

            /// A reader of one segment. Segments may be read in parallel.
            ///
            /// # Errors
            /// [`MissingSegment`](crate::Error::MissingSegment) if it is not a segment of the log.
            pub $($async)? fn read_segment(&self, id: SegmentId) -> Result<Reader> {
                self.handle.read_segment(id).map(|raw| Reader { raw })
            }

            /// A reader from a [`Position`] or an LSN on; LSN 0 is the start of the log, whatever was truncated.
            ///
            /// # Errors
            /// [`Truncated`](crate::Error::Truncated) if the record is no longer in the log,
            /// [`NotAppended`](crate::Error::NotAppended) for an LSN above the next one: the cursor belongs to another
            /// log, or to a newer copy of this one. To wait for such an LSN, use [`follow_from`](Self::follow_from). On
            /// a read-only handle [`Io`](crate::Error::Io), if it cannot read where the log ends.
            pub $($async)? fn read_from(&self, start: impl Into<Start>) -> Result<Reader> {
                self.handle.read_from(start.into()).map(|raw| Reader { raw })
            }

            /// As [`read_from`](Self::read_from), but the LSN need not have been given to a record yet. The reader
            /// returns `None` until it is.
            ///
            /// # Errors
            /// [`Truncated`](crate::Error::Truncated) if the record is no longer in the log. If `truncate_after` then
            /// removes records before the LSN, the reader gets [`Truncated`](crate::Error::Truncated) as well.
            pub $($async)? fn follow_from(&self, start: impl Into<Start>) -> Result<Reader> {
                self.handle.follow_from(start.into()).map(|raw| Reader { raw })
            }

            /// Reads the log from `start` on, up to the last record appended before the call, on several threads: each
            /// segment on one of them. For each segment a state is made with `begin`, and `each` is called with it for
            /// every record of the segment, in order. Returns the states, the oldest segment's first: putting them
            /// together in that order gives what reading in order gives. [`Threads`] has an example.
            ///
            /// Records are borrowed: nothing is copied or allocated for one whose value is stored uncompressed. LSN 0
            /// is the start of the log, whatever was truncated. Takes 256 KiB of memory a thread, more for a larger
            /// record.
            ///
            /// # Errors
            /// The first in the order of LSNs, of those that a [`Reader`] gives:
            /// [`Corruption`](crate::Error::Corruption), [`MissingSegment`](crate::Error::MissingSegment),
            /// [`Gap`](crate::Error::Gap), [`Truncated`](crate::Error::Truncated) (also for a record that is removed
            /// meanwhile), [`Poisoned`](crate::Error::Poisoned), [`Io`](crate::Error::Io). `each` may have been called
            /// for records after it.
            ///
            /// # Panics
            /// If `begin` or `each` does, once all threads have ended.
            $(
                #[doc = $cancel]
                /// The replay runs on a thread for blocking work. It goes on there, and its states are dropped.
            )?
            pub $($async)? fn replay<S: Send $(+ $static)?>(
                &self,
                start: impl Into<Lsn>,
                threads: Threads,
                begin: impl Fn() -> S + Sync $(+ Send + $static)?,
                each: impl Fn(&mut S, RecordRef<'_>, Position) + Sync $(+ Send + $static)?,
            ) -> Result<Vec<S>> {
                let start = start.into();
                let (last, flush) = self.handle.replay_end();
                if let Some(engine) = flush {
                    wait(engine, engine.flush(SHELL)) $(.$await)? ?;
                }
                let handle = Arc::clone(&self.handle);
                let replay = move || handle.replay(start, last, threads, begin, each);
                run_long("replaying the log", replay) $(.$await)?
            }

            /// What opening the log found and did.
            #[must_use]
            pub fn recovery_report(&self) -> &RecoveryReport {
                self.handle.report()
            }

            /// Checks that this process opened the handle, and is not a fork of the opener. Takes no lock, and costs
            /// one load from memory.
            ///
            /// Every call that can fail checks this first. In a fork, the other calls return what was found when the
            /// log was opened, and dropping the handle does nothing.
            ///
            /// # Errors
            /// [`OtherProcess`](crate::Error::OtherProcess).
            pub fn check_process(&self) -> Result<()> {
                self.handle.check_process()
            }

            /// Counters of this handle and its clones, and where the log stands. A log open for writing answers at
            /// once, also while others append.
            #[must_use]
            pub fn stats(&self) -> Stats {
                self.handle.stats()
            }
        }

        /// Reads records in order.
        #[derive(Debug)]
        pub struct Reader {
            raw: RawReader,
        }

        impl Reader {
            /// What to do where records cannot be read; [`OnDamage::Stop`] unless said otherwise. A log that cannot be
            /// opened because of damage is read through [`Builder::read_damaged`](crate::Builder::read_damaged).
            #[must_use]
            pub fn on_damage(mut self, on_damage: OnDamage) -> Self {
                self.raw.on_damage = on_damage;
                self
            }

            /// Returns only records that are known to be on stable storage. The others follow in later calls. A
            /// read-only handle learns this from the log's files, which record it with the next write. Under `Always`
            /// and `Batch` an idle log records it within about two seconds.
            #[must_use]
            pub fn durable_only(mut self) -> Self {
                self.raw = self.raw.durable_only();
                self
            }

            /// The next record and its position; `None` if there is none now. A reader of a writing handle shows all
            /// that was appended before the call.
            ///
            /// `None` is not the end for good: when more is appended, a later call returns it. After an error the
            /// reader has ended, and always returns `None`. It continues after [`Io`](crate::Error::Io), which may be
            /// temporary, and with [`OnDamage::Skip`] after a [`Gap`](crate::Error::Gap), which then also stands for
            /// damage and missing segments.
            ///
            /// The key and the value are slices of a read buffer of 256 KiB: copy them to keep them for long.
            ///
            /// # Errors
            /// [`Corruption`](crate::Error::Corruption), [`Truncated`](crate::Error::Truncated) if the record was
            /// removed meanwhile, [`Poisoned`](crate::Error::Poisoned) after the last durable record of a failed log,
            /// [`Io`](crate::Error::Io), [`Gap`](crate::Error::Gap) where a repair has recorded a loss.
            $(
                #[doc = $cancel]
                /// No record is skipped.
            )?
            #[inline]
            pub $($async)? fn next_record(&mut self) -> Result<Option<(Record, Position)>> {
                if let Some(found) = self.raw.step_in_memory() {
                    return Ok(Some(found));
                }
                self.next_anywhere() $(.$await)?
            }

            $($async)? fn next_anywhere(&mut self) -> Result<Option<(Record, Position)>> {
                loop {
                    let step = if self.raw.is_buffered() {
                        self.raw.step()?
                    } else {
                        SHELL.run(|| self.raw.step())?
                    };
                    match step {
                        Step::Record(record, position) => return Ok(Some((record, position))),
                        Step::End => return Ok(None),
                        Step::Unflushed => {
                            let Some(engine) = self.raw.live().cloned() else {
                                return Ok(None);
                            };
                            wait(&engine, engine.flush(SHELL)) $(.$await)? ?;
                        }
                    }
                }
            }
        }
    };
}

pub(crate) use read_calls;
