//! Histories of events that are made up, written and read again.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kamap::{Cause, Cgroup, Clock, Event, EventKind, Exit, Item, Lost, Process, Snapshot};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::{End, GroupBy, History, Key, Life, Options, Recorder, Result, Source};

/// When the machine has booted.
const BOOT: Duration = Duration::from_secs(1_700_000_000);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The time of day so many seconds after the boot.
fn time(since_boot: u64) -> SystemTime {
    UNIX_EPOCH + BOOT + seconds(since_boot)
}

fn clock() -> Clock {
    Clock::booted_at(UNIX_EPOCH + BOOT)
}

/// A process that started so many seconds after the boot.
fn process(pid: u32, start: u64, parent: (u32, u64)) -> Process {
    let mut process = Process::new(pid, seconds(start)).with_comm("sh");
    process.ppid = parent.0;
    process.parent_start_time = Some(seconds(parent.1));
    process
}

const INIT: (u32, u64) = (1, 0);

fn init() -> Process {
    let mut init = process(1, 0, (0, 0));
    init.parent_start_time = None;
    init
}

/// Adds events with numbers, and nothing but those: the table has what they say.
struct Stream {
    recorder: Recorder,
    next_seq: u64,
}

impl Stream {
    fn open(dir: &Path, options: Options, id: u32, next_seq: u64) -> Self {
        let source = Source::new("a-boot", clock(), id, next_seq);
        let recorder = Recorder::open(dir, options, &source).expect("it opens");
        // Otherwise it begins when this machine says.
        change(recorder.file(), "UPDATE boots SET since = 0");
        Self { recorder, next_seq }
    }

    /// A new one, of which the table has been read.
    fn begin(dir: &Path) -> Self {
        let mut this = Self::open(dir, Options::default(), 1, 0);
        this.table(1, vec![init()]);
        this
    }

    fn table(&mut self, now: u64, processes: Vec<Process>) {
        assert!(self.recorder.wants_table());
        let table = Snapshot::new(seconds(now), processes);
        self.recorder
            .resync(table, self.next_seq, self.next_seq, true);
    }

    fn event(&mut self, now: u64, process: &Process, kind: EventKind) {
        let event = Event::new(self.next_seq, seconds(now), process.clone(), kind);
        self.recorder.add(Item::Event(event));
        self.next_seq += 1;
    }

    fn fork(&mut self, process: &Process) {
        let now = process.start_time.as_secs();
        self.event(now, process, EventKind::Fork);
    }

    fn exit(&mut self, now: u64, process: &Process) {
        self.event(now, process, EventKind::Exit(Exit::new(0)));
    }

    fn commit(&mut self) {
        self.recorder.commit(clock()).expect("there is room");
    }
}

fn all(dir: &Path) -> Vec<Life> {
    read(dir, UNIX_EPOCH, time(1_000_000))
}

fn between(dir: &Path, since: u64, until: u64) -> Vec<Life> {
    read(dir, time(since), time(until))
}

fn read(dir: &Path, since: SystemTime, until: SystemTime) -> Vec<Life> {
    let history = History::open(dir).expect("there is one");
    let mut lives = Vec::new();
    let read: Result<()> = history.lives(since, until, |life| {
        lives.push(life);
        Ok(ControlFlow::Continue(()))
    });
    read.expect("it can be read");
    assert_eq!(history.damaged().count(), 0);
    lives
}

fn pids(lives: &[Life]) -> Vec<u32> {
    lives.iter().map(|life| life.process.pid).collect()
}

/// The databases, the oldest first.
fn files(dir: &Path) -> Vec<PathBuf> {
    let files = crate::folder::files(dir).expect("it can be read");
    files.into_iter().map(|file| file.path).collect()
}

fn query<T: rusqlite::types::FromSql>(path: &Path, query: &str) -> Vec<T> {
    let connection = Connection::open(path).expect("it opens");
    let mut query = connection.prepare(query).expect("it is SQL");
    let rows = query.query_map([], |row| row.get(0)).expect("it runs");
    rows.map(|row| row.expect("it is a row")).collect()
}

fn change(path: &Path, statement: &str) {
    let connection = Connection::open(path).expect("it opens");
    connection
        .execute_batch(statement)
        .expect("it can be changed");
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is room")
}

/// What was recorded by a clock that was set forward or back by an hour, an hour and 400 s after the boot.
fn stepped(dir: &Path, step: i64) {
    let mut stream = Stream::begin(dir);
    for number in 1..100 {
        let child = process(1000 + number, u64::from(number) * 100, INIT);
        stream.fork(&child);
        stream.exit(u64::from(number) * 100 + 1, &child);
    }
    stream.commit();
    stream.recorder.close().expect("there is room");
    let statement = format!(
        "INSERT INTO clocks SELECT 4000000000000, boot_time + {step}000000000 FROM clocks; \
         UPDATE spans SET until = 10000000000000"
    );
    change(&files(dir)[0], &statement);
}

#[test]
fn a_history_is_as_it_was_when_it_was_opened() {
    let dir = TempDir::new().expect("a folder can be made");
    let mut stream = Stream::begin(dir.path());
    let (first, second) = (process(10, 2, INIT), process(11, 3, INIT));
    stream.fork(&first);
    stream.fork(&second);
    stream.exit(4, &first);
    stream.commit();
    let history = History::open(dir.path()).expect("there is one");
    stream.exit(5, &second);
    stream.fork(&process(12, 6, INIT));
    stream.commit();
    let read = |history: &History| {
        let mut lives = Vec::new();
        let read: Result<()> = history.lives(UNIX_EPOCH, time(100), |life| {
            lives.push((life.process.pid, life.end == End::Running));
            Ok(ControlFlow::Continue(()))
        });
        read.expect("it can be read");
        lives.sort_unstable();
        lives
    };
    let then = [(1, true), (10, false), (11, true)];
    assert_eq!(read(&history), then);
    let now = History::open(dir.path()).expect("there is one");
    assert_eq!(
        read(&now),
        [(1, true), (10, false), (11, false), (12, true)]
    );
    assert_eq!(read(&history), then);
}

#[test]
fn where_the_clock_was_set_forward_no_time_was_skipped() {
    let dir = folder();
    stepped(dir.path(), 3600);
    let number = |number: u32| 1000 + number;
    // The last one before, and the first one after it: an hour and 99 s later.
    assert_eq!(pids(&between(dir.path(), 3850, 3950)), [number(39)]);
    assert_eq!(pids(&between(dir.path(), 3950, 7550)), [0; 0]);
    assert_eq!(pids(&between(dir.path(), 7550, 7650)), [number(40)]);
    assert_eq!(
        pids(&between(dir.path(), 3850, 7650)),
        [number(39), number(40)]
    );
    let history = History::open(dir.path()).expect("there is one");
    let lives = all(dir.path());
    let end = |life: &Life| life.clock.system_time(life.end.time().expect("it ended"));
    let ends: Vec<_> = lives
        .iter()
        .filter(|life| life.process.pid > 1)
        .map(end)
        .collect();
    assert!(ends.is_sorted());
    assert_eq!(ends[38], time(3901));
    assert_eq!(ends[39], time(4001 + 3600));
    // In what was skipped, the last moment before it counts.
    let moment = history.at(time(5000)).expect("it is recorded");
    assert_eq!(moment.table.time, Duration::from_nanos(3_999_999_999_999));
    let moment = history.at(time(8000)).expect("it is recorded");
    assert_eq!(moment.table.time, seconds(4400));
}

#[test]
fn where_the_clock_was_set_back_each_life_is_still_found() {
    let dir = folder();
    stepped(dir.path(), -3600);
    let number = |number: u32| 1000 + number;
    // It was 1,000 s after the boot twice: at 1,000 s, and at 4,600 s.
    let found = pids(&between(dir.path(), 950, 1050));
    assert!(
        found.contains(&number(10)) && found.contains(&number(46)),
        "{found:?}"
    );
    // From the first time that it was that late on.
    let found = pids(&between(dir.path(), 3850, 1_000_000));
    assert_eq!(&found[..3], [number(39), number(40), number(41)]);
    let history = History::open(dir.path()).expect("there is one");
    // The last time that it was that late.
    let moment = history.at(time(1000)).expect("it is recorded");
    assert_eq!(moment.table.time, seconds(4600));
    // Between those that came twice.
    let moment = history.at(time(300)).expect("it is recorded");
    assert_eq!(moment.table.time, seconds(300));
}

#[test]
fn what_is_read_again_after_a_kill_is_recorded_once() {
    let dir = folder();
    let mut stream = Stream::begin(dir.path());
    let (first, second) = (process(7, 10, INIT), process(8, 20, INIT));
    let lost = || Item::Lost(Lost::new(Cause::RingFull, 3));
    let before = |stream: &mut Stream| {
        stream.fork(&first);
        stream.recorder.add(lost());
        stream.exit(11, &first);
    };
    before(&mut stream);
    stream.table(12, vec![init()]);
    stream.commit();
    drop(stream);
    // It was killed before it acknowledged them.
    let mut stream = Stream::open(dir.path(), Options::default(), 1, 0);
    before(&mut stream);
    assert!(!stream.recorder.wants_table());
    stream.fork(&second);
    stream.exit(21, &second);
    stream.commit();
    assert_eq!(pids(&all(dir.path())), [7, 8, 1]);
    let file = &files(dir.path())[0];
    assert_eq!(query::<i64>(file, "SELECT count FROM losses"), [3]);
    assert_eq!(query::<i64>(file, "SELECT count(*) FROM spans"), [2]);
    // What is lost from then on counts.
    stream.recorder.add(lost());
    stream.commit();
    assert_eq!(query::<i64>(file, "SELECT sum(count) FROM losses"), [6]);
}

#[test]
fn a_parent_that_has_ended_is_still_known_when_many_others_have_since() {
    let dir = folder();
    let mut stream = Stream::begin(dir.path());
    let parent = process(7, 2, INIT);
    let child = process(8, 3, (7, 2));
    stream.fork(&parent);
    // As many as are known; the parent is the last of them.
    for number in 1..4096 {
        let other = process(100_000 + number, 4, INIT);
        stream.fork(&other);
        stream.exit(4, &other);
    }
    stream.exit(5, &parent);
    let other = process(99_999, 6, INIT);
    stream.fork(&other);
    stream.exit(6, &other);
    stream.fork(&child);
    stream.commit();
    assert_eq!(
        query::<i64>(
            &files(dir.path())[0],
            "SELECT count(*) FROM lives WHERE pid = 7"
        ),
        [1]
    );
    let chain = History::open(dir.path())
        .expect("there is one")
        .why(8, time(10));
    let chain = chain.expect("it can be read");
    let known: Vec<_> = chain.iter().map(|link| link.life.process.pid).collect();
    assert_eq!(known, [8, 7, 1]);
    drop(stream);
    // A recorder that goes on knows it too.
    let next_seq = 2 + 4095 * 2 + 2 + 1;
    let mut stream = Stream::open(dir.path(), Options::default(), 1, next_seq);
    stream.fork(&process(9, 7, (7, 2)));
    stream.commit();
    assert_eq!(
        query::<i64>(
            &files(dir.path())[0],
            "SELECT count(*) FROM lives WHERE pid = 7"
        ),
        [1]
    );
}

#[test]
fn a_parent_whose_pid_has_been_used_again_unseen_ends_the_one_before() {
    let dir = folder();
    let mut stream = Stream::begin(dir.path());
    stream.fork(&process(7, 2, INIT));
    // Its exit, and the fork of the next one, are lost.
    stream
        .recorder
        .add(Item::Lost(Lost::new(Cause::RingFull, 2)));
    let child = process(8, 20, (7, 10));
    stream.fork(&child);
    stream.table(21, vec![init(), process(7, 10, INIT), child]);
    stream.commit();
    let lives = all(dir.path());
    let mut of_pid = lives.iter().filter(|life| life.process.pid == 7);
    let first = of_pid.next().expect("there are two");
    assert_eq!(first.end, End::Unknown(seconds(10)));
    let second = of_pid.next().expect("there are two");
    assert_eq!(
        (second.process.start_time, second.end),
        (seconds(10), End::Running)
    );
    let child = lives.iter().find(|life| life.process.pid == 8);
    let child = child.expect("it is there");
    assert_eq!(child.started_by, Some((7, seconds(10))));
}

#[test]
fn a_process_that_was_first_seen_as_a_parent_is_found_by_when_that_was() {
    let dir = folder();
    let mut stream = Stream::begin(dir.path());
    stream
        .recorder
        .add(Item::Lost(Lost::new(Cause::RingFull, 1)));
    // Nobody has seen the fork of its parent.
    let child = process(8, 20, (7, 10));
    stream.fork(&child);
    for number in 0..50 {
        let other = process(1000 + number, 21 + u64::from(number), INIT);
        stream.fork(&other);
        stream.exit(21 + u64::from(number), &other);
    }
    stream.table(100, vec![init(), process(7, 10, INIT), child]);
    stream.commit();
    let seen = query::<i64>(
        &files(dir.path())[0],
        "SELECT coalesce(seen, start) FROM lives ORDER BY id",
    );
    assert!(seen.is_sorted(), "{seen:?}");
    let moment = History::open(dir.path())
        .expect("there is one")
        .at(time(101));
    let moment = moment.expect("it is recorded");
    assert_eq!(moment.table.iter().count(), 3);
    let child = moment.table.get(8).expect("it is alive");
    assert_eq!(
        (child.ppid, child.parent_start_time),
        (7, Some(seconds(10)))
    );
}

#[test]
fn a_recorder_that_was_killed_while_it_made_a_file_leaves_nothing_behind() {
    let dir = folder();
    let mut stream = Stream::begin(dir.path());
    stream.fork(&process(7, 10, INIT));
    stream.commit();
    drop(stream);
    let unfinished = dir.path().join("kamap-000002-2023-11-14.sqlite.new");
    std::fs::write(&unfinished, "half of").expect("there is room");
    // One that has its name already, and no life yet.
    let second = dir.path().join("kamap-000002-2023-11-14.sqlite");
    std::fs::copy(&files(dir.path())[0], &second).expect("there is room");
    change(
        &second,
        "DELETE FROM lives; DELETE FROM clocks; DELETE FROM spans",
    );
    assert_eq!(pids(&all(dir.path())), [1, 7]);
    let mut stream = Stream::open(dir.path(), Options::default(), 1, 1);
    assert_eq!(stream.recorder.set_aside(), None);
    assert!(!stream.recorder.wants_table());
    stream.exit(11, &process(7, 10, INIT));
    stream.commit();
    assert_eq!(pids(&all(dir.path())), [7, 1]);
    assert!(!unfinished.exists());
    let history = History::open(dir.path()).expect("there is one");
    assert_eq!(history.gaps().expect("it can be read").len(), 2);
}

#[test]
fn a_cgroup_that_has_vanished_keeps_its_path() {
    let dir = folder();
    let mut child = process(7, 10, INIT);
    child.cgroup_id = 4711;
    let mut stream = Stream::begin(dir.path());
    let known = child
        .clone()
        .with_cgroup(Cgroup::new("/system.slice/a.service"));
    stream.fork(&known);
    stream.commit();
    drop(stream);
    let mut stream = Stream::open(dir.path(), Options::default(), 1, 1);
    child.cgroup_id = 4711;
    stream.exit(11, &child);
    stream.commit();
    let lives = all(dir.path());
    let life = lives.iter().find(|life| life.process.pid == 7);
    let unit = life.and_then(|life| life.process.cgroup()?.unit());
    assert_eq!(unit, Some("a.service"));
}

#[test]
fn files_that_were_set_aside_count_and_go_first() {
    let dir = folder();
    let options = || Options::default().max_size(8 << 20);
    let aside = |name: &str, bytes: usize| {
        let path = dir.path().join(name);
        std::fs::write(&path, vec![0; bytes]).expect("there is room");
        path
    };
    let small = aside("kamap-000001-2023-11-14.sqlite.damaged", 4096);
    let mut stream = Stream::open(dir.path(), options(), 1, 0);
    stream.table(1, vec![init()]);
    stream.commit();
    assert!(small.exists());
    let large = aside("kamap-000002-2023-11-14.sqlite-wal.damaged", 7 << 20);
    stream.fork(&process(7, 10, INIT));
    stream.commit();
    assert!(!small.exists() && !large.exists());
    assert_eq!(pids(&all(dir.path())), [1, 7]);
}

#[test]
fn the_lives_of_a_boot_that_is_over_ended_with_it() {
    let dir = folder();
    let mut stream = Stream::begin(dir.path());
    stream.fork(&process(7, 10, INIT));
    stream.exit(500, &process(8, 400, INIT));
    stream.commit();
    drop(stream);
    change(
        &files(dir.path())[0],
        "UPDATE boots SET boot_id = 'the-boot-before'",
    );
    let mut stream = Stream::open(dir.path(), Options::default(), 2, 0);
    stream.table(600, vec![init()]);
    stream.fork(&process(9, 700, INIT));
    stream.commit();
    // Though it began long before.
    let lives = between(dir.path(), 450, 1000);
    assert_eq!(pids(&lives), [8, 1, 7, 9]);
    assert_eq!(lives[2].end, End::Unknown(seconds(500)));
    assert_eq!(lives[2].boot_id, "the-boot-before");
    assert_eq!(lives[3].end, End::Running);
}

#[test]
fn a_reader_does_not_delay_a_recorder_that_goes_on_in_a_new_file() {
    let dir = folder();
    let mut stream = Stream::open(dir.path(), Options::default().max_size(8 << 20), 1, 0);
    stream.table(1, vec![init()]);
    stream.commit();
    let first = files(dir.path()).remove(0);
    let reader = Connection::open(&first).expect("it opens");
    let mut query = reader.prepare("SELECT id FROM lives").expect("it is SQL");
    let mut rows = query.query([]).expect("it runs");
    rows.next().expect("it can be read").expect("there is one");
    let begun = Instant::now();
    let mut number = 0;
    while files(dir.path()).len() < 2 {
        let child = process(1000 + number, 10, INIT).with_args([format!("{number:1000}")]);
        number += 1;
        stream.fork(&child);
        stream.exit(11, &child);
        if stream.recorder.has_much() {
            stream.commit();
        }
    }
    // It would wait for five.
    assert!(begun.elapsed() < seconds(4), "{:?}", begun.elapsed());
    drop(rows);
    assert_eq!(all(dir.path()).len() as u32, number + 1);
}

#[test]
fn a_process_whose_row_goes_before_its_exit_comes_is_recorded_once() {
    let dir = folder();
    let mut stream = Stream::begin(dir.path());
    let (late, lost) = (process(7, 10, INIT), process(8, 10, INIT));
    stream.fork(&late);
    stream.fork(&lost);
    stream
        .recorder
        .add(Item::Lost(Lost::new(Cause::RingFull, 1)));
    stream.table(12, vec![init()]);
    // Its number is that of an event after the table.
    stream.exit(12, &late);
    stream.fork(&process(9, 13, INIT));
    stream.commit();
    let lives = all(dir.path());
    assert_eq!(pids(&lives), [7, 8, 1, 9]);
    assert!(matches!(lives[0].end, End::Exit(..)), "{:?}", lives[0].end);
    assert_eq!(lives[1].end, End::Unknown(seconds(12)));
}

#[test]
fn a_table_without_room_is_not_taken_for_all_processes() {
    let dir = tempfile::tempdir().expect("there is room");
    let mut stream = Stream::begin(dir.path());
    stream.fork(&process(7, 10, INIT));
    stream
        .recorder
        .add(Item::Lost(Lost::new(Cause::TableFull, 1)));
    let processes = vec![init(), process(7, 10, INIT)];
    let table = Snapshot::new(seconds(20), processes.clone());
    let next = stream.next_seq;
    stream.recorder.resync(table, next, next, false);
    stream.fork(&process(8, 30, INIT));
    stream.commit();
    let exact = |at| History::open(dir.path()).and_then(|history| history.at(time(at)));
    let is_exact = |at| exact(at).expect("it can be read").gap.is_none();
    assert!(is_exact(5) && !is_exact(25));
    // It is read again, and has room.
    let table = Snapshot::new(
        seconds(40),
        [processes, vec![process(8, 30, INIT)]].concat(),
    );
    stream.recorder.resync(table, next + 1, next + 1, true);
    stream.fork(&process(9, 50, INIT));
    stream.commit();
    assert!(is_exact(45) && !is_exact(25));
}

#[test]
fn a_parent_in_an_earlier_file_has_a_name_in_the_summary() {
    let dir = tempfile::tempdir().expect("there is room");
    let mut stream = Stream::begin(dir.path());
    let parent = process(7, 10, INIT);
    let child = process(8, 20, (7, 10));
    stream.fork(&parent);
    stream.fork(&child);
    stream.exit(30, &parent);
    stream.commit();
    drop(stream);
    // As if the file were of another day.
    let file = files(dir.path()).remove(0);
    let older = file.with_file_name("kamap-000001-2001-01-01.sqlite");
    std::fs::rename(&file, older).expect("it exists");
    let mut stream = Stream::open(dir.path(), Options::default(), 1, 3);
    stream.fork(&process(9, 35, INIT));
    stream.commit();
    assert_eq!(files(dir.path()).len(), 2);
    stream.exit(40, &child);
    stream.commit();
    let history = History::open(dir.path()).expect("there is one");
    let groups = history.summary(time(35), time(100), GroupBy::Parent);
    let groups = groups.expect("it can be read");
    let found: Vec<_> = groups
        .iter()
        .map(|group| (&group.key, group.count))
        .collect();
    assert_eq!(found, [(&Key::Name(b"sh".to_vec()), 1)]);
}

#[test]
fn what_was_recorded_is_the_time_without_the_gaps() {
    let dir = tempfile::tempdir().expect("there is room");
    let mut stream = Stream::begin(dir.path());
    stream.fork(&process(7, 11, INIT));
    stream.commit();
    drop(stream);
    // Another stream: what was between the two is not recorded.
    let mut stream = Stream::open(dir.path(), Options::default(), 2, 0);
    stream.table(31, vec![init(), process(7, 11, INIT)]);
    stream.fork(&process(8, 41, INIT));
    stream.commit();
    let history = History::open(dir.path()).expect("there is one");
    let recorded = |since, until| {
        history
            .recorded(time(since), time(until))
            .expect("it can be read")
    };
    assert_eq!(recorded(1, 41), seconds(20));
    assert_eq!(recorded(6, 36), seconds(10));
    assert_eq!(recorded(12, 30), seconds(0));
    assert_eq!(recorded(0, 1000), seconds(20));
    assert_eq!(recorded(20, 10), seconds(0));
}
