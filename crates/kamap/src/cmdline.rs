//! The arguments of other processes, as `/proc/PID/cmdline` has them.
//!
//! Reading the memory of another process can take as long as that process likes: its pages may come
//! from a file system of its own, and its threads can hold the lock of its address space. So a thread
//! of its own reads, and is left behind where it gets stuck. (It does not outlive this process: such a
//! wait of procfs ends with a fatal signal.)

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Result;

/// How long to wait for the arguments of one process.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often. What has not been read by then is left out.
const MOST_STALLS: usize = 5;

/// Whoever reads needs little.
const STACK: usize = 64 << 10;

/// A process, and the user that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Of {
    pub(crate) pid: u32,
    pub(crate) uid: u32,
}

/// Hands the first `most` bytes of the arguments of each of `processes` to `found`, as far as they can
/// be read.
///
/// Where that of one takes too long, the others of its user come last: they are the ones that have to
/// do without. Where no thread can be had, all of them do.
pub(crate) fn read_all(
    processes: impl IntoIterator<Item = Of>,
    most: usize,
    mut found: impl FnMut(u32, Vec<u8>) -> Result<()>,
) -> Result<()> {
    let read = move |pid: u32| {
        let mut text = Vec::new();
        let file = File::open(format!("/proc/{pid}/cmdline")).ok()?;
        file.take(most as u64).read_to_end(&mut text).ok()?;
        Some(text)
    };
    let mut left: VecDeque<Of> = processes.into_iter().collect();
    for _ in 0..MOST_STALLS {
        if left.is_empty() {
            break;
        }
        let Ok(reader) = Reader::start(left, read) else {
            break;
        };
        left = reader.wait(PATIENCE, &mut found)?;
    }
    Ok(())
}

/// A thread that reads.
struct Reader {
    state: Arc<Mutex<State>>,
    texts: Receiver<(u32, Vec<u8>)>,
}

/// What a reader has to do.
struct State {
    /// The process that it is at.
    at: Option<Of>,
    left: VecDeque<Of>,
}

impl Reader {
    fn start(
        left: VecDeque<Of>,
        read: impl Fn(u32) -> Option<Vec<u8>> + Send + 'static,
    ) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State { at: None, left }));
        let (sender, texts) = channel();
        let shared = Arc::clone(&state);
        let next = move || {
            let mut state = lock(&shared);
            state.at = state.left.pop_front();
            state.at
        };
        let work = move || {
            while let Some(Of { pid, .. }) = next() {
                if let Some(text) = read(pid)
                    && sender.send((pid, text)).is_err()
                {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("kamap-cmdline".to_owned())
            .stack_size(STACK)
            .spawn(work)?;
        Ok(Self { state, texts })
    }

    /// Takes what it reads, until it has read all or nothing has come for so long; returns what is
    /// left to read.
    fn wait(
        self,
        patience: Duration,
        found: &mut impl FnMut(u32, Vec<u8>) -> Result<()>,
    ) -> Result<VecDeque<Of>> {
        loop {
            match self.texts.recv_timeout(patience) {
                Ok((pid, text)) => found(pid, text)?,
                Err(RecvTimeoutError::Disconnected) => return Ok(VecDeque::new()),
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        let (at, left) = {
            let mut state = lock(&self.state);
            (state.at, std::mem::take(&mut state.left))
        };
        // It may just have been slow.
        for (pid, text) in self.texts.try_iter() {
            found(pid, text)?;
        }
        let others = |of: &Of| at.is_none_or(|at| at.uid != of.uid);
        let (mut first, last): (VecDeque<Of>, VecDeque<Of>) = left.into_iter().partition(others);
        first.extend(last);
        Ok(first)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pid: u32, uid: u32) -> Of {
        Of { pid, uid }
    }

    #[test]
    fn a_process_that_never_answers_delays_those_of_its_own_user_only() {
        // Whoever holds the lock never answers.
        let (stuck, held) = channel::<()>();
        let held = Mutex::new(held);
        let read = move |pid| {
            if pid == 2 {
                let _ = held.lock().expect("nobody has panicked").recv();
            }
            Some(vec![pid as u8])
        };
        let left = [of(1, 33), of(2, 33), of(3, 33), of(4, 0), of(5, 34)];
        let reader = Reader::start(left.into(), read).expect("a thread can be had");
        let mut texts = Vec::new();
        let mut found = |pid, text| {
            texts.push((pid, text));
            Ok(())
        };
        let left = reader
            .wait(Duration::from_secs(2), &mut found)
            .expect("what is found is taken");
        assert_eq!(left, [of(4, 0), of(5, 34), of(3, 33)]);
        assert_eq!(texts, [(1, vec![1])]);
        drop(stuck);
    }

    #[test]
    fn all_are_read_up_to_the_length_asked_for() {
        let me = std::process::id();
        let mut texts = Vec::new();
        let absent = of(u32::MAX, 0);
        read_all([of(me, 0), absent, of(me, 0)], 3, |pid, text| {
            texts.push((pid, text));
            Ok(())
        })
        .expect("a thread can be had");
        let right = std::fs::read("/proc/self/cmdline").expect("there is /proc");
        assert_eq!(texts, vec![(me, right[..3].to_vec()); 2]);
    }
}
