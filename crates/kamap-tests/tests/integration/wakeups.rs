//! What wakes a reader of events that waits, and what does not.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kamap::{AttachOptions, Cause, Error, EventKind, Events, Filter, Item, Kinds, Pinned, Tracker};
use kamap_bpf::{Stop, page_size};
use kamap_tests::{BpfFs, Held, Tiny, eventually};

/// How long to wait for what has to come.
const BOUND: Duration = Duration::from_secs(60);

/// The lives of this process's children.
fn children() -> Filter {
    Filter::new(Kinds::LIFE).ppid(process::id())
}

/// The lives of a process that does not exist.
fn nobody() -> Filter {
    Filter::new(Kinds::LIFE).pid(u32::MAX)
}

/// A thread that reads until it fails or is stopped, and passes on what it reads.
struct Waiting {
    thread: JoinHandle<kamap::Result<()>>,
    tid: i32,
    items: Receiver<Item>,
    stop: Stop,
}

impl Waiting {
    fn start(events: Events) -> Self {
        let stop = Stop::new().expect("there are files left");
        events.wake_on(&stop).expect("it can be waited for");
        let (tid, started) = mpsc::channel();
        let (sender, items) = mpsc::channel();
        let thread = thread::spawn({
            let stop = stop.clone();
            move || {
                // SAFETY: takes nothing, returns a number.
                let _ = tid.send(unsafe { libc::gettid() });
                read(events, &stop, &sender)
            }
        });
        let tid = started.recv_timeout(BOUND).expect("it runs");
        Self {
            thread,
            tid,
            items,
            stop,
        }
    }

    /// How often it has gone to sleep so far, once it does for as long as nothing wakes it.
    #[track_caller]
    fn sleeps(&self) -> u64 {
        let file = |name: &str| {
            let text = fs::read_to_string(format!("/proc/self/task/{}/{name}", self.tid));
            text.expect("it runs")
        };
        eventually("it waits for ever", || {
            // The number of the call and its arguments, the fourth of which is the time.
            let call = file("syscall");
            let call: Vec<_> = call.split(' ').collect();
            let is_wait = call[0] == libc::SYS_epoll_wait.to_string();
            (is_wait && call[4].ends_with("ffffffff")).then_some(())
        });
        let status = file("status");
        let sleeps = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let sleeps = sleeps.expect("the kernel says so").trim();
        sleeps.parse().expect("it is a number")
    }

    /// Ends it by what it was told to wait for as well.
    #[track_caller]
    fn stop(self) {
        self.stop.stop();
        self.ended().expect("it reads to its end");
    }

    #[track_caller]
    fn ended(self) -> kamap::Result<()> {
        eventually("it ends", || self.thread.is_finished().then_some(()));
        self.thread.join().expect("it does not panic")
    }
}

fn read(mut events: Events, stop: &Stop, to: &Sender<Item>) -> kamap::Result<()> {
    while !stop.is_stopped() {
        events.read(Duration::MAX, |item| {
            let _ = to.send(item);
        })?;
    }
    Ok(())
}

#[track_caller]
fn started(filter: Filter) -> (Tracker, Waiting) {
    let mut tracker = Tracker::builder()
        .events(filter)
        .start()
        .expect("it starts");
    let events = tracker.take_events().expect("they were asked for");
    (tracker, Waiting::start(events))
}

#[test]
fn a_reader_sleeps_while_there_is_nothing_for_it() {
    let (tracker, reader) = started(nobody());
    let before = reader.sleeps();
    let tiny = Tiny::new();
    // Not by this process: the kernel wakes any thread of a parent for a moment.
    let script = r#"i=0; while [ $i -lt 200 ]; do "$0" < /dev/null > /dev/null; i=$((i + 1)); done; echo; read x"#;
    let exits = tracker.seen().expect("they are counted").exit;
    let mut shell = Command::new("sh");
    let shell = Held::start(shell.args(["-c", script]).arg(tiny.path()));
    assert!(tracker.seen().expect("they are counted").exit >= exits + 200);
    let items: Vec<_> = reader.items.try_iter().collect();
    assert_eq!((reader.sleeps(), items.len()), (before, 0), "{items:?}");
    drop(shell);
    reader.stop();
}

#[test]
fn no_event_waits_for_the_next_one() {
    let (_tracker, reader) = started(children());
    let tiny = Tiny::new();
    // Alone, and so many at once that it sleeps between its looks.
    for count in [1, 1, 2, 60, 1, 3, 200, 1].into_iter().cycle().take(40) {
        let mut left: Vec<_> = (0..count).map(|_| tiny.run()).collect();
        while !left.is_empty() {
            match reader.items.recv_timeout(BOUND).expect("it is woken") {
                Item::Event(event) => {
                    if matches!(event.kind, EventKind::Exit(_)) {
                        left.retain(|&pid| pid != event.process.pid);
                    }
                }
                item => panic!("{item:?}"),
            }
        }
    }
    reader.stop();
}

#[test]
fn a_process_that_finds_no_room_wakes_the_reader() {
    let builder = Tracker::builder().max_entries(1).events(nobody());
    let mut tracker = builder.start().expect("it starts");
    let reader = Waiting::start(tracker.take_events().expect("they were asked for"));
    let lost = || match reader.items.recv_timeout(BOUND).expect("it is woken") {
        Item::Lost(lost) if lost.cause == Cause::TableFull => lost.count,
        item => panic!("{item:?}"),
    };
    // Those that were there.
    lost();
    reader.sleeps();
    // Should there be room by now, the first one takes it.
    let tiny = Tiny::new();
    let held = tiny.start();
    tiny.run();
    assert!(lost() > 0);
    assert!(held.release().success());
    reader.stop();
}

#[test]
fn processes_that_find_no_room_leave_the_ring_to_events() {
    const UID: u32 = 4711;
    let builder = Tracker::builder()
        .max_entries(1)
        .ring_size(page_size() as u32);
    let mut tracker = builder
        .events(Filter::new(Kinds::EXEC).uid(UID))
        .start()
        .expect("it starts");
    let mut events = tracker.take_events().expect("they were asked for");
    let tiny = Tiny::new();
    let held = tiny.start();
    let refused = || tracker.losses().expect("they are counted").table_full;
    let before = refused();
    // Each has two records, of which there would be room for half.
    while refused() < before + page_size() as u64 / 16 {
        tiny.run();
    }
    // That user may not enter the folder of the copy.
    let mut other = Command::new("/bin/true");
    assert!(other.uid(UID).status().expect("it starts").success());
    let mut found = Vec::new();
    events
        .drain(|item| found.push(item))
        .expect("they can be read");
    found.retain(|item| !matches!(item, Item::Lost(lost) if lost.cause == Cause::TableFull));
    assert!(
        matches!(&found[..], [Item::Event(event)] if event.process.uid == UID),
        "{found:?}"
    );
    assert!(held.release().success());
}

#[test]
fn the_descriptor_can_be_read_once_there_is_an_event() {
    let mut tracker = Tracker::builder()
        .events(children())
        .start()
        .expect("it starts");
    let mut events = tracker.take_events().expect("they were asked for");
    let tiny = Tiny::new();
    let mut left = 50;
    let mut pid = tiny.run();
    while left > 0 {
        let mut exits = Vec::new();
        events
            .read(Duration::ZERO, |item| match item {
                Item::Event(event) if matches!(event.kind, EventKind::Exit(_)) => {
                    exits.push(event.process.pid);
                }
                Item::Event(_) => {}
                item => panic!("{item:?}"),
            })
            .expect("they can be read");
        if exits.contains(&pid) {
            left -= 1;
            pid = tiny.run();
        } else {
            let mut polled = libc::pollfd {
                fd: events.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: `polled` is one entry, valid for reading and writing.
            let ready = unsafe { libc::poll(&mut polled, 1, BOUND.as_millis() as i32) };
            assert_eq!(ready, 1, "nothing has woken it");
        }
    }
}

/// A place where events are recorded that never come.
fn attached() -> (BpfFs, PathBuf) {
    let bpffs = BpfFs::mount();
    let dir = bpffs.at("kamap");
    let builder = Tracker::builder().events(nobody());
    builder
        .attach(&dir, &AttachOptions::default())
        .expect("root can");
    (bpffs, dir)
}

#[test]
fn a_reader_that_waits_is_taken_over_at_once() {
    let (_bpffs, dir) = attached();
    let pinned = Pinned::open(&dir).expect("it is attached");
    let mut reader = Waiting::start(pinned.events(false).expect("nobody reads"));
    for _ in 0..3 {
        reader.sleeps();
        let next = Waiting::start(pinned.events(true).expect("it can be taken over"));
        let ended = std::mem::replace(&mut reader, next).ended();
        assert!(matches!(ended, Err(Error::TakenOver { .. })), "{ended:?}");
    }
    reader.stop();
    kamap::detach(&dir).expect("root can");
}

#[test]
fn a_reader_that_was_taken_over_leaves_the_ring_to_the_next_one() {
    let (_bpffs, dir) = attached();
    let pinned = Pinned::open(&dir).expect("it is attached");
    let mut first = pinned.events(false).expect("nobody reads");
    let taking = thread::spawn(move || pinned.events(true));
    let ended = eventually("it is taken over", || {
        first.read(Duration::ZERO, |_| {}).err()
    });
    assert!(matches!(ended, Error::TakenOver { .. }), "{ended:?}");
    let next = taking.join().expect("it does not panic");
    let mut next = next.expect("it can be taken over");
    drop(first);
    next.read(Duration::ZERO, |_| {}).expect("it is still its");
    kamap::detach(&dir).expect("root can");
}

#[test]
fn a_reader_that_waits_ends_when_its_pins_are_removed() {
    let (_bpffs, dir) = attached();
    let pinned = Pinned::open(&dir).expect("it is attached");
    let reader = Waiting::start(pinned.events(false).expect("nobody reads"));
    reader.sleeps();
    // Of a replacement it takes no notice, but it watches other pins then.
    let options = AttachOptions::default().replace(true);
    let builder = Tracker::builder().events(nobody());
    builder.attach(&dir, &options).expect("root can");
    reader.sleeps();
    kamap::detach(&dir).expect("root can");
    let ended = reader.ended();
    assert!(matches!(ended, Err(Error::Detached { .. })), "{ended:?}");
}
