//! The calls that change the log or wait for it: appends, syncs, truncations, open and close.

/// Makes them for a face. `$append` is what its `append` returns.
macro_rules! write_calls {
    ($append:ty $(, $async:ident $await:ident $cancel:literal)?) => {
        impl Wal {
            /// Opens the log in the directory `dir`, and creates it if there is none.
            ///
            /// # Durability
            /// Records whose durability is unknown after a crash are made durable before the call returns; see
            /// [`recovery_report`](Self::recovery_report). Opening a log that was closed writes nothing to it.
            ///
            /// # Errors
            /// [`Locked`](crate::Error::Locked) if another writer has it, [`Corruption`](crate::Error::Corruption) or
            /// [`MissingSegment`](crate::Error::MissingSegment) if durable data is damaged,
            /// [`NotALog`](crate::Error::NotALog), [`UnknownVersion`](crate::Error::UnknownVersion),
            /// [`InvalidConfig`](crate::Error::InvalidConfig), [`NoSpace`](crate::Error::NoSpace) or
            /// [`Io`](crate::Error::Io). Nothing is lost by any of them.
            $(
                #[doc = $cancel]
                /// The open may finish in the background. The log is then closed again.
            )?
            pub $($async)? fn open(dir: impl AsRef<Path>, config: WalConfig) -> Result<Self> {
                Self::builder(dir).config(config).open() $(.$await)?
            }

            /// Opens with further settings.
            #[must_use]
            pub fn builder(dir: impl AsRef<Path>) -> Builder<Self> {
                Builder::new(dir)
            }

            /// Appends a record; returns its position. Takes a [`Record`](crate::Record), a [`RecordRef`], or bytes:
            /// text or bytes alone are a record without a key ([`RecordKind::Data`](crate::RecordKind::Data)).
            ///
            /// # Durability
            /// As the [policy](crate::FsyncPolicy) says.
            ///
            /// # Errors
            /// [`TooLarge`](crate::Error::TooLarge), [`NoSpace`](crate::Error::NoSpace) and
            /// [`Closed`](crate::Error::Closed): the record is not in the log. [`Poisoned`](crate::Error::Poisoned): it
            /// may be found after reopening if it was given an LSN. [`Truncated`](crate::Error::Truncated):
            /// `truncate_after` removed it while the call waited for the sync.
            $(
                #[doc = $cancel]
                /// The record enters the log in one poll. If the future is dropped before that, nothing is appended. If
                /// it is dropped later, while it waits for the sync under `Always`, the record stays in the log and
                /// becomes durable as others do.
            )?
            pub fn append<'a>(&'a self, record: impl Into<RecordRef<'a>>) -> $append {
                append(&self.handle, record.into(), Durability::Policy)
            }

            /// Appends records, a slice of [`Record`](crate::Record) or of [`RecordRef`], that survive a crash all or
            /// none: they are in one segment, with nothing between them. An empty batch appends nothing.
            ///
            /// # Durability
            /// As the [policy](crate::FsyncPolicy) says, for the batch as a whole.
            ///
            /// # Errors
            /// As [`append`](Self::append); [`TooLarge`](crate::Error::TooLarge) also if the batch does not fit in a
            /// segment.
            $(
                #[doc = $cancel]
                /// As [`append`](Self::append), for the batch as a whole.
            )?
            pub $($async)? fn append_batch<'a, R>(&self, records: &'a [R]) -> Result<Appended>
            where
                &'a R: Into<RecordRef<'a>>,
            {
                let batch = self.handle.engine()?.encode_batch(records)?;
                self.append_all(&batch, Durability::Policy) $(.$await)?
            }

            $($async)? fn append_all(&self, batch: &[EncodedRecord<'_>], durability: Durability) -> Result<Appended> {
                let engine = self.handle.engine()?;
                let (first, last_lsn) = match engine.begin(batch, durability)? {
                    Begun::Done(first, last) => (first, last),
                    begun => wait(engine, engine.finish(begun, batch, durability, SHELL)) $(.$await)? ?,
                };
                Ok(Appended { first, last_lsn })
            }

            /// The same log, with appends that return when they are on stable storage, whatever the policy.
            #[must_use]
            pub fn durable(&self) -> Durable<'_> {
                Durable { wal: self }
            }

            /// Appends `record`, with at most 512 bytes of key and value. On a full disk, the log continues in the
            /// space that it keeps for that, if its segments have version 2. There is room for 64 of these records,
            /// besides the calls of [`truncate_before_with`](Self::truncate_before_with), until a segment can be
            /// allocated again.
            ///
            /// # Durability
            /// As [`append`](Self::append).
            ///
            /// # Errors
            /// As [`append`](Self::append).
            $(
                #[doc = $cancel]
                /// As [`append`](Self::append).
            )?
            #[doc(hidden)]
            pub $($async)? fn append_reserved<'a>(&self, record: impl Into<RecordRef<'a>>) -> Result<Position> {
                let (engine, record) = (self.handle.engine()?, record.into());
                wait(engine, engine.append_reserved(record, SHELL)) $(.$await)?
            }

            /// Returns when there is room for the records, which the same log has
            /// [prepared](crate::blocking::Wal::prepare). Another append may take it first.
            ///
            /// # Errors
            /// [`NoSpace`](crate::Error::NoSpace), [`Poisoned`](crate::Error::Poisoned),
            /// [`Closed`](crate::Error::Closed).
            $(
                #[doc = $cancel]
                /// Nothing has entered the log.
            )?
            pub $($async)? fn wait_for_room(&self, prepared: &Prepared<'_>) -> Result<()> {
                let engine = self.handle.engine()?;
                wait(engine, engine.room_for(prepared.records(), SHELL)) $(.$await)?
            }

            /// Returns when all that was appended before the call is with the operating system.
            ///
            /// # Durability
            /// It survives a kill of the process, not a crash of the system.
            ///
            /// # Errors
            /// [`Poisoned`](crate::Error::Poisoned) if the write failed, [`Closed`](crate::Error::Closed).
            $(
                #[doc = $cancel]
                /// Nothing is lost.
            )?
            pub $($async)? fn flush(&self) -> Result<()> {
                let engine = self.handle.engine()?;
                wait(engine, engine.flush(SHELL)) $(.$await)?
            }

            /// Returns when all that was appended before the call is on stable storage.
            ///
            /// # Durability
            /// It survives a power loss.
            ///
            /// # Errors
            /// [`Poisoned`](crate::Error::Poisoned) if the sync failed, [`Closed`](crate::Error::Closed).
            $(
                #[doc = $cancel]
                /// Nothing is lost; the sync may go on.
            )?
            pub $($async)? fn sync(&self) -> Result<()> {
                let engine = self.handle.engine()?;
                wait(engine, engine.sync(SHELL)) $(.$await)?
            }

            /// Returns when the record is on stable storage; starts a sync if nothing else does.
            ///
            /// Takes an LSN, or what an append returned. An LSN stands for the record that has it now. With what an
            /// append returned, a removed record is recognised even if another record has its LSN now.
            ///
            /// # Errors
            /// [`NotAppended`](crate::Error::NotAppended) for an LSN that no record was given,
            /// [`Truncated`](crate::Error::Truncated) if `truncate_after` has removed the record, else as
            /// [`sync`](Self::sync).
            $(
                #[doc = $cancel]
                /// Nothing is lost; the sync may go on.
            )?
            pub $($async)? fn wait_durable(&self, record: impl Into<Awaited>) -> Result<()> {
                let (engine, record) = (self.handle.engine()?, record.into());
                wait(engine, engine.wait_durable(record, SHELL)) $(.$await)?
            }

            /// Changes the control state: all of the changes or none. They survive truncations, recovery and repair.
            ///
            /// # Durability
            /// As the [policy](crate::FsyncPolicy) says of an append, and made durable by [`sync`](Self::sync) and
            /// [`close`](Self::close). Changes between two syncs share one group.
            ///
            /// # Errors
            /// Nothing was changed: [`OldVersion`](crate::Error::OldVersion) of a log of version 1,
            /// [`InvalidControl`](crate::Error::InvalidControl) for a name or a lower term,
            /// [`NotDurable`](crate::Error::NotDurable) for a cursor above the durable LSN,
            /// [`Truncated`](crate::Error::Truncated) or [`OtherLog`](crate::Error::OtherLog) for one that is not
            /// valid, [`TooLarge`](crate::Error::TooLarge), [`NoSpace`](crate::Error::NoSpace),
            /// [`ControlLost`](crate::Error::ControlLost), [`Closed`](crate::Error::Closed). After
            /// [`Poisoned`](crate::Error::Poisoned) reopening shows what has survived.
            $(
                #[doc = $cancel]
                /// The changes enter the log in one poll. After that they stay.
            )?
            #[doc(hidden)]
            pub $($async)? fn change_control(&self, changes: &[ControlChange]) -> Result<()> {
                let requested = Requested::new(changes, false)?;
                let engine = self.handle.engine()?;
                wait(engine, engine.change_control(&requested, SHELL)) $(.$await)?
            }

            /// Sets the whole control state again, whatever it was: the answer to
            /// [`ControlLost`](crate::Error::ControlLost).
            ///
            /// # Durability
            /// As for [`change_control`](Self::change_control).
            ///
            /// # Errors
            /// As for [`change_control`](Self::change_control), except [`ControlLost`](crate::Error::ControlLost).
            $(
                #[doc = $cancel]
                /// As for [`change_control`](Self::change_control).
            )?
            #[doc(hidden)]
            pub $($async)? fn set_control(&self, term: u64, consumers: &[(String, Cursor)]) -> Result<()> {
                let requested = Requested::all(term, consumers)?;
                let engine = self.handle.engine()?;
                wait(engine, engine.change_control(&requested, SHELL)) $(.$await)?
            }

            /// Removes the records before `lsn`, which stays (or is the next one to be appended). Files are deleted
            /// when all of their records are gone.
            ///
            /// # Durability
            /// Durable when it returns: the records do not come back after a crash.
            ///
            /// # Errors
            /// [`NotAppended`](crate::Error::NotAppended) if `lsn` is above the next LSN,
            /// [`NoSpace`](crate::Error::NoSpace), [`Poisoned`](crate::Error::Poisoned),
            /// [`Closed`](crate::Error::Closed).
            $(
                #[doc = $cancel]
                /// The truncation may take place all the same. Files that it did not get to are removed by the next
                /// open.
            )?
            pub $($async)? fn truncate_before(&self, lsn: impl Into<Lsn>) -> Result<()> {
                let (engine, lsn) = (self.handle.engine()?, lsn.into());
                wait(engine, engine.truncate_before(lsn, SHELL)) $(.$await)?
            }

            /// Appends `record`, with at most 4 KiB of key and value, and removes the records before `lsn`, which
            /// stays. Both are in one write. On a full disk, the log continues in the space that it keeps for that, if
            /// its segments have version 2. There is room for 16 of these calls, until a segment can be allocated
            /// again.
            ///
            /// # Durability
            /// Durable when it returns. After a crash inside, the log has neither, only the record, or both.
            ///
            /// # Errors
            /// As [`truncate_before`](Self::truncate_before), and [`TooLarge`](crate::Error::TooLarge).
            $(
                #[doc = $cancel]
                /// Once the record is appended, the truncation takes place all the same.
            )?
            #[doc(hidden)]
            pub $($async)? fn truncate_before_with<'a>(
                &self,
                lsn: impl Into<Lsn>,
                record: impl Into<RecordRef<'a>>,
            ) -> Result<Position> {
                let (engine, lsn, record) = (self.handle.engine()?, lsn.into(), record.into());
                wait(engine, engine.truncate_before_with(lsn, record, SHELL)) $(.$await)?
            }

            /// Removes the records after `lsn`, which stays; LSN 0 removes all. Their LSNs are given again: the next
            /// record gets the one after `lsn`. `lsn` may lie inside a batch, of which the rest goes. Appends wait
            /// meanwhile; it takes three syncs and a segment.
            ///
            /// A call that waits for a removed record, and a reader that has read one, get
            /// [`Truncated`](crate::Error::Truncated) with `kept`.
            ///
            /// # Durability
            /// All or nothing. Durable when it returns, as is every record that stays: the removed ones do not come
            /// back after a crash.
            ///
            /// # Errors
            /// [`NotAppended`](crate::Error::NotAppended) if `lsn` is above the last LSN,
            /// [`Truncated`](crate::Error::Truncated) if it is below the log's first,
            /// [`Corruption`](crate::Error::Corruption) if the records there do not verify,
            /// [`NoSpace`](crate::Error::NoSpace): in all of these the log is as it was.
            /// [`Poisoned`](crate::Error::Poisoned) (then the next open tells whether the records are gone),
            /// [`Closed`](crate::Error::Closed).
            $(
                #[doc = $cancel]
                /// Once polled, the truncation takes place all the same.
            )?
            pub $($async)? fn truncate_after(&self, lsn: impl Into<Lsn>) -> Result<()> {
                let (engine, lsn) = (self.handle.engine()?, lsn.into());
                wait(engine, engine.truncate_after(lsn, SHELL)) $(.$await)?
            }

            /// Closes the log: all is durable, and the next open needs no recovery. Other handles then get
            /// [`Closed`](crate::Error::Closed). A log that is closed already stays so.
            ///
            /// # Durability
            /// Under every policy all appended records survive a power loss.
            ///
            /// # Errors
            /// [`Poisoned`](crate::Error::Poisoned) if a write or a sync failed.
            $(
                #[doc = $cancel]
                /// The log takes no more records; the close goes on in the background.
            )?
            pub $($async)? fn close(&self) -> Result<()> {
                match self.handle.engine() {
                    Ok(engine) => wait(engine, engine.close(SHELL)) $(.$await)?,
                    // Nothing to make durable.
                    Err(crate::Error::ReadOnly) => Ok(()),
                    Err(error) => Err(error),
                }
            }
        }

        /// A log, with appends that return when they are on stable storage, whatever the policy: [`Wal::durable`].
        #[derive(Clone, Copy, Debug)]
        pub struct Durable<'a> {
            wal: &'a Wal,
        }

        impl<'a> Durable<'a> {
            /// As [`Wal::append`], and returns when the record is on stable storage, whatever the policy.
            ///
            /// # Durability
            /// The record and all before it survive a power loss.
            ///
            /// # Errors
            /// As [`Wal::append`].
            $(
                #[doc = $cancel]
                /// As [`Wal::append`].
            )?
            pub fn append(self, record: impl Into<RecordRef<'a>>) -> $append {
                append(&self.wal.handle, record.into(), Durability::Durable)
            }

            /// As [`Wal::append_batch`], and returns when the batch is on stable storage, whatever the policy.
            ///
            /// # Durability
            /// The batch and all records before it survive a power loss.
            ///
            /// # Errors
            /// As [`Wal::append_batch`].
            $(
                #[doc = $cancel]
                /// As [`Wal::append_batch`].
            )?
            pub $($async)? fn append_batch<'r, R>(self, records: &'r [R]) -> Result<Appended>
            where
                &'r R: Into<RecordRef<'r>>,
            {
                let batch = self.wal.handle.engine()?.encode_batch(records)?;
                self.wal.append_all(&batch, Durability::Durable) $(.$await)?
            }
        }

        impl Builder<Wal> {
            /// Opens the log.
            ///
            /// # Errors
            /// As [`Wal::open`].
            $(
                #[doc = $cancel]
                /// As [`Wal::open`].
            )?
            pub $($async)? fn open(self) -> Result<Wal> {
                let handle = run_long("opening the log", move || self.build()) $(.$await)? ?;
                Ok(Wal { handle: Arc::new(handle) })
            }
        }
    };
}

pub(crate) use write_calls;
