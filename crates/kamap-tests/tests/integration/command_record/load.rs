//! Processes to be recorded, with all that `wait4(2)` says of them.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

/// A child that has ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) pid: u32,
    pub(super) args: Vec<String>,
    pub(super) status: i32,
    pub(super) cpu: Duration,
}

impl Ran {
    /// Runs a command to its end.
    #[track_caller]
    pub(super) fn run(args: Vec<String>) -> Self {
        let mut command = Command::new(&args[0]);
        command.args(&args[1..]).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let pid = command.spawn().expect("it starts").id();
        let mut status = 0;
        // SAFETY: all zeros is a value of it.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: takes a number and two places that can be written.
        let waited = unsafe { libc::wait4(pid.cast_signed(), &mut status, 0, &mut usage) };
        assert_eq!(waited, pid.cast_signed(), "{}", io::Error::last_os_error());
        let time = |time: libc::timeval| {
            Duration::from_secs(time.tv_sec.unsigned_abs())
                + Duration::from_micros(time.tv_usec.unsigned_abs())
        };
        Self {
            pid,
            args,
            status,
            cpu: time(usage.ru_utime) + time(usage.ru_stime),
        }
    }

    /// The same, of words.
    #[track_caller]
    pub(super) fn words(words: &[&str]) -> Self {
        Self::run(words.iter().map(|&word| word.to_owned()).collect())
    }
}

/// Two workers that start children, one after the other. Dropped, they end.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU32>,
    workers: Vec<JoinHandle<Vec<Ran>>>,
}

impl Load {
    /// Runs what `command` makes of a number, until this is ended.
    pub(super) fn start(command: impl Fn(u32) -> Vec<String> + Send + Clone + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU32::new(0));
        let work = || {
            let (stop, count, command) = (Arc::clone(&stop), Arc::clone(&count), command.clone());
            std::thread::spawn(move || {
                let mut ran = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    ran.push(Ran::run(command(count.fetch_add(1, Ordering::Relaxed))));
                }
                ran
            })
        };
        let workers = (0..2).map(|_| work()).collect();
        Self {
            stop,
            count,
            workers,
        }
    }

    /// Runs so many.
    #[track_caller]
    pub(super) fn some(
        count: u32,
        command: impl Fn(u32) -> Vec<String> + Send + Clone + 'static,
    ) -> Vec<Ran> {
        let number = Arc::new(AtomicU32::new(0));
        let work = || {
            let (number, command) = (Arc::clone(&number), command.clone());
            std::thread::spawn(move || {
                let next = || Some(number.fetch_add(1, Ordering::Relaxed));
                let numbers = std::iter::from_fn(next).take_while(|&number| number < count);
                numbers
                    .map(|number| Ran::run(command(number)))
                    .collect::<Vec<_>>()
            })
        };
        let workers = [work(), work()];
        let ran = workers.map(|worker| worker.join().expect("it runs"));
        ran.into_iter().flatten().collect()
    }

    /// The same of a small program, with the number as its argument.
    pub(super) fn of(program: &Path, mark: &'static str) -> Self {
        let program = program.to_str().expect("it is UTF-8").to_owned();
        Self::start(move |number| vec![program.clone(), format!("{mark}-{number}")])
    }

    /// How many were started.
    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until so many more were started.
    #[track_caller]
    pub(super) fn go_on(&self, more: u32) {
        let wanted = self.count() + more;
        kamap_tests::eventually("they have run", || (self.count() >= wanted).then_some(()));
    }

    /// All that have run.
    #[track_caller]
    pub(super) fn end(mut self) -> Vec<Ran> {
        self.stop.store(true, Ordering::Relaxed);
        let workers = std::mem::take(&mut self.workers).into_iter();
        let ran = workers.flat_map(|worker| worker.join().expect("it runs"));
        ran.collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Compares lives of `kamap history --json`, as far as `is_one` knows them, with what ran: each has to be
/// there once, and no other.
#[track_caller]
pub(super) fn compare(lines: &[Value], ran: &[Ran], is_one: impl Fn(&Value) -> bool) {
    let mut lives: HashMap<u32, &Value> = HashMap::new();
    for line in lines.iter().filter(|line| line["type"] == "life") {
        if is_one(line) {
            let pid = line["pid"].as_u64().expect("it is a number") as u32;
            let before = lives.insert(pid, line);
            assert_eq!(before, None, "twice: {line}");
        }
    }
    let parent = std::process::id();
    for ran in ran {
        let life = lives
            .remove(&ran.pid)
            .unwrap_or_else(|| panic!("missing: {ran:?}"));
        assert_eq!(life["args"], serde_json::json!(ran.args), "{life}");
        assert_eq!(status(life), Some(ran.status), "{life}: {ran:?}");
        assert_eq!(life["ppid"], parent, "{life}");
        assert_eq!(life["parent"]["pid"], parent, "{life}");
        let cpu = Duration::from_nanos(life["cpu_ns"].as_u64().expect("it is known"));
        let difference = cpu.abs_diff(ran.cpu);
        // What is recorded is what the exit says, which other tests compare closely. An emulated machine
        // is slow.
        assert!(
            difference < Duration::from_millis(10).max(ran.cpu),
            "{difference:?}: {life}: {ran:?}"
        );
    }
    assert!(lives.is_empty(), "nobody ran: {lives:?}");
}

/// The status of a life as `wait(2)` gives it.
pub(super) fn status(life: &Value) -> Option<i32> {
    match (life["exit_code"].as_i64(), life["signal"].as_str()) {
        (Some(code), None) => Some((code as i32) << 8),
        (None, Some("SIGKILL")) => Some(libc::SIGKILL),
        (None, Some("SIGTERM")) => Some(libc::SIGTERM),
        _ => None,
    }
}

/// Whether the last argument of a life begins like this.
pub(super) fn has_mark(mark: &str) -> impl Fn(&Value) -> bool {
    let mark = mark.to_owned();
    move |life| {
        let last = life["args"].as_array().and_then(|args| args.last());
        last.and_then(Value::as_str)
            .is_some_and(|last| last.starts_with(&mark))
    }
}

/// A copy of the small program, under a name of its own.
pub(super) fn named(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::copy(kamap_tests::TINY, &path).expect("it can be copied");
    path
}
