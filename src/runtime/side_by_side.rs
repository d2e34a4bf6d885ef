//! The same work for several sessions at once, where each of them has a core of its own.

use std::{io, panic::resume_unwind, thread};

use super::{GraphSource, LoadError, OrtExecutor, Runtime, SessionOptions, Stated};

impl Runtime {
    /// As many as `count` of [`Runtime::executor_for`].
    ///
    /// * `at_once`: side by side rather than one after the other
    ///
    /// # Errors
    /// [`LoadError`] of the first that cannot be made.
    pub fn executors_for(
        &self,
        graph: GraphSource<'_>,
        options: SessionOptions,
        stated: &Stated,
        count: usize,
        at_once: bool,
    ) -> Result<Vec<OrtExecutor>, LoadError> {
        if !at_once || count < 2 {
            return (0..count).map(|_| self.executor_for(graph, options, stated)).collect();
        }
        let made = side_by_side("make a session", 0..count, |_| self.executor_for(graph, options, stated));
        made.map_err(|cause| LoadError::Engine(format!("no thread to make a session on: {cause}")))?
            .into_iter()
            .collect()
    }
}

/// Does `work` for each of `items` on a thread of its own, and waits for all of them. The threads stand as far back as the caller,
/// and so do those that they start.
///
/// # Errors
/// If the system gives no thread; what was begun is waited for. A panic of `work` is the caller's.
pub fn side_by_side<T: Send, R: Send>(
    name: &str,
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> R + Sync,
) -> io::Result<Vec<R>> {
    let work = &work;
    thread::scope(|scope| {
        let begin = |item| thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, move || work(item));
        let threads = items.into_iter().map(begin).collect::<io::Result<Vec<_>>>()?;
        Ok(threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn each_has_a_thread_and_results_keep_their_order() {
        // Nobody passes before all three are there.
        let all = Barrier::new(3);
        let work = |item: u32| {
            all.wait();
            10 * item
        };
        assert_eq!(side_by_side("test", [3, 1, 2], work).unwrap(), [30, 10, 20]);
    }
}
