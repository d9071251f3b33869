//! The executors that the log has to work on.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::LocalSet;

/// A call that takes longer hangs. A log that is broken on purpose is not waited for as long.
const HANGS: Duration = Duration::from_secs(if cfg!(wal_sabotage) { 10 } else { 120 });

pub(super) type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Executor {
    /// Tasks on the workers of a multi-thread runtime.
    MultiThread,
    /// Tasks of a current-thread runtime.
    CurrentThread,
    /// Tasks of a local set in a current-thread runtime.
    LocalSet,
    /// Tasks of a local set in the `block_on` of a multi-thread runtime.
    LocalSetOfMultiThread,
    /// Tasks of a local set that a worker of a multi-thread runtime runs in `block_in_place`.
    LocalSetOnWorker,
    /// Tasks of the executor below, on one thread that knows no runtime.
    Bare,
    /// Each future in a `block_on` of its own, on a thread of its own.
    BareThreads,
    /// The executor below, run by a task on a worker of a multi-thread runtime.
    BareOnWorker,
    /// The executor below, run by a task of a current-thread runtime.
    BareOnCurrentThread,
}

impl Executor {
    pub(super) const ALL: [Self; 9] = [
        Self::MultiThread,
        Self::CurrentThread,
        Self::LocalSet,
        Self::LocalSetOfMultiThread,
        Self::LocalSetOnWorker,
        Self::Bare,
        Self::BareThreads,
        Self::BareOnWorker,
        Self::BareOnCurrentThread,
    ];

    /// Those whose tasks may use tokio's timers.
    pub(super) const WITH_TIMERS: [Self; 5] = [
        Self::MultiThread,
        Self::CurrentThread,
        Self::LocalSet,
        Self::LocalSetOfMultiThread,
        Self::LocalSetOnWorker,
    ];

    /// Runs one future.
    pub(super) fn run<T: Send + 'static>(
        self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let outcome = self.run_all([Box::pin(future) as Task<T>]);
        outcome.into_iter().next().expect("one outcome")
    }

    /// Runs all futures at once, each as a task of its own. Panics if one of them does, or if they hang.
    pub(super) fn run_all<T: Send + 'static>(
        self,
        tasks: impl IntoIterator<Item = Task<T>>,
    ) -> Vec<T> {
        let tasks: Vec<Task<T>> = tasks.into_iter().collect();
        within(&format!("{self:?}"), move || self.run_here(tasks))
    }

    fn run_here<T: Send + 'static>(self, tasks: Vec<Task<T>>) -> Vec<T> {
        match self {
            Self::MultiThread => multi_thread().block_on(spawn_all(tasks)),
            Self::CurrentThread => current_thread().block_on(spawn_all(tasks)),
            Self::LocalSet => LocalSet::new().block_on(&current_thread(), spawn_all_local(tasks)),
            Self::LocalSetOfMultiThread => {
                LocalSet::new().block_on(&multi_thread(), spawn_all_local(tasks))
            }
            Self::LocalSetOnWorker => on_worker(&multi_thread(), move || {
                tokio::task::block_in_place(|| {
                    let local = LocalSet::new();
                    Handle::current().block_on(local.run_until(spawn_all_local(tasks)))
                })
            }),
            Self::Bare => run_all(tasks),
            Self::BareThreads => thread::scope(|scope| {
                let threads: Vec<_> = tasks
                    .into_iter()
                    .map(|task| scope.spawn(|| block_on(task)))
                    .collect();
                let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
                joined.map(|outcome| outcome.expect("no panic")).collect()
            }),
            Self::BareOnWorker => on_worker(&multi_thread(), move || run_all(tasks)),
            Self::BareOnCurrentThread => on_worker(&current_thread(), move || run_all(tasks)),
        }
    }
}

pub(super) fn multi_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime")
}

pub(super) fn current_thread() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().build().expect("a runtime")
}

async fn spawn_all<T: Send + 'static>(tasks: Vec<Task<T>>) -> Vec<T> {
    let handles: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut outcomes = Vec::new();
    for handle in handles {
        outcomes.push(handle.await.expect("no panic"));
    }
    outcomes
}

async fn spawn_all_local<T: 'static>(tasks: Vec<Task<T>>) -> Vec<T> {
    let handles: Vec<_> = tasks.into_iter().map(tokio::task::spawn_local).collect();
    let mut outcomes = Vec::new();
    for handle in handles {
        outcomes.push(handle.await.expect("no panic"));
    }
    outcomes
}

fn on_worker<T: Send + 'static>(runtime: &Runtime, work: impl FnOnce() -> T + Send + 'static) -> T {
    let task = async move { work() };
    let outcome = runtime.block_on(async { tokio::spawn(task).await });
    outcome.expect("no panic")
}

/// Runs `work` on a thread of its own; panics if it does, or if it hangs.
pub(super) fn within<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::Builder::new().name(name.to_owned());
    let thread = thread
        .spawn(move || {
            // Nobody listens after a timeout.
            let _ = sender.send(work());
        })
        .expect("a thread");
    match receiver.recv_timeout(HANGS) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{name}: hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => panic!("{name}: no outcome"),
        },
    }
}

/// The tasks of an executor that are ready to run, by number.
#[derive(Debug, Default)]
struct Ready {
    queue: Mutex<VecDeque<usize>>,
    filled: Condvar,
}

struct Waking {
    ready: Arc<Ready>,
    task: usize,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        let mut queue = self
            .ready
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !queue.contains(&self.task) {
            queue.push_back(self.task);
            self.ready.filled.notify_one();
        }
    }
}

/// An executor on the calling thread, with nothing but `std`.
fn run_all<T>(tasks: Vec<Task<T>>) -> Vec<T> {
    let ready = Arc::new(Ready::default());
    let mut tasks: Vec<Option<Task<T>>> = tasks.into_iter().map(Some).collect();
    let mut outcomes: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    ready.queue.lock().expect("no panic").extend(0..tasks.len());
    while tasks.iter().any(Option::is_some) {
        let mut queue = ready.queue.lock().expect("no panic");
        let number = loop {
            if let Some(number) = queue.pop_front() {
                break number;
            }
            queue = ready.filled.wait(queue).expect("no panic");
        };
        drop(queue);
        let Some(task) = &mut tasks[number] else {
            continue;
        };
        let waker = Waker::from(Arc::new(Waking {
            ready: Arc::clone(&ready),
            task: number,
        }));
        if let Poll::Ready(outcome) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
            outcomes[number] = Some(outcome);
            tasks[number] = None;
        }
    }
    outcomes.into_iter().flatten().collect()
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs one future on the calling thread, with nothing but `std`.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
            return outcome;
        }
        thread::park();
    }
}

/// Polls once, without anybody to wake.
pub(super) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls at most `polls` times, each time that the task is woken, and then drops the future.
pub(super) async fn abandoned<F: Future>(future: F, polls: u64) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Lets other tasks run, on any executor.
pub(super) async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
