//! The future that the async `append` returns. An `async fn` would make one of seven times the size.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use wal_format::RecordRef;

use crate::handle::Handle;
use crate::log::{Begun, Durability};
use crate::shell::Shell;
use crate::{Position, Result};

/// An append to a log, as a future: the position of the record, when it is appended.
///
/// The first poll encodes the record and puts it into the log. Under `Batch` and `Os` that is all, unless the log has
/// no room at the moment. Only a future that has to wait allocates memory.
///
/// # Cancel safety
/// If it is dropped before the first poll, nothing is appended. If it is dropped while it waits for room, nothing is
/// appended either. If it is dropped while it waits for stable storage, the record stays in the log.
#[must_use = "futures do nothing unless they are polled or awaited"]
pub struct Append<'a> {
    handle: &'a Handle,
    state: Phase<'a>,
}

enum Phase<'a> {
    Start(RecordRef<'a>, Durability),
    /// For room or for stable storage.
    Waits(Pin<Box<dyn Future<Output = Result<Position>> + Send + 'a>>),
    Done,
}

impl<'a> Append<'a> {
    pub(crate) fn new(handle: &'a Handle, record: RecordRef<'a>, durability: Durability) -> Self {
        let state = Phase::Start(record, durability);
        Self { handle, state }
    }
}

impl Future for Append<'_> {
    type Output = Result<Position>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Phase::Start(record, durability) = this.state {
            this.state = Phase::Done;
            let engine = this.handle.engine()?;
            let encoded = [engine.encode(record)?];
            match engine.begin(&encoded, durability)? {
                Begun::Done(first, _) => return Poll::Ready(Ok(first)),
                begun => {
                    this.state = Phase::Waits(Box::pin(async move {
                        let rest = engine.finish(begun, &encoded, durability, Shell::Async);
                        rest.await.map(|(first, _)| first)
                    }));
                }
            }
        }
        let Phase::Waits(rest) = &mut this.state else {
            unreachable!("`Append` was polled after it had completed");
        };
        let appended = ready!(rest.as_mut().poll(context));
        this.state = Phase::Done;
        Poll::Ready(appended)
    }
}

impl fmt::Debug for Append<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Append").finish_non_exhaustive()
    }
}
