//! Recording: from the stream of events and the table to the files of a history.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kamap::{Cause, Cgroup, Clock, Event, EventKind, Exit, Item, Lost, Process, Snapshot};

use crate::alive::{Ended, Life};
use crate::folder::{self, FileName, Lock};
use crate::intern::Interner;
use crate::options::LEAST;
use crate::resume::Resume;
use crate::rows::{
    Batch, Boot, ChangeRow, ExecRow, Facts, FailedExecRow, LifeRow, LossRow, Position, Span, Text,
};
use crate::store::Store;
use crate::time::nanos;
use crate::{Error, Options, Result};

/// How much is to be written at once, roughly. Less than a quarter of the room that is kept free.
const MOST_ADDED: usize = 256 << 10;

/// How often it is noted that nothing has happened.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often to look at the most who has adopted processes.
const RESYNC: Duration = Duration::from_secs(1);

/// How long the exit of a process can be missing that has no row any more: its row goes first.
const GRACE: i64 = 500_000_000;

/// What a recorder reads.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Source {
    /// The boot of the machine ([`Clock::boot_id`]).
    pub boot_id: String,
    /// Converts the times of the events.
    pub clock: Clock,
    /// What has the events ([`Events::id`](kamap::Events::id)).
    pub stream: u32,
    /// The number of the first event that will be read.
    pub next_seq: u64,
}

impl Source {
    /// Events of this stream, from the one with the number `next_seq` on.
    pub fn new(boot_id: impl Into<String>, clock: Clock, stream: u32, next_seq: u64) -> Self {
        Self {
            boot_id: boot_id.into(),
            clock,
            stream,
            next_seq,
        }
    }
}

/// Records what happens to processes.
///
/// Hand it all that was read with [`add`](Self::add), then [`commit`](Self::commit), and only then
/// acknowledge the events ([`Events::acknowledge`](kamap::Events::acknowledge)). Whenever
/// [`wants_table`](Self::wants_table), read the table for [`resync`](Self::resync).
#[derive(Debug)]
pub struct Recorder {
    lock: Lock,
    options: Options,
    boot: Boot,
    clock: Clock,
    /// As it was last written.
    boot_time: Option<i64>,
    file: FileName,
    store: Store,
    interner: Interner,
    /// Those that are written, and whether their paths are known.
    cgroups: HashMap<i64, bool>,
    batch: Batch,
    last_id: i64,
    /// The processes that have not ended, by PID.
    alive: HashMap<u32, Life>,
    /// Those whose rows are to be written.
    dirty: HashSet<u32>,
    ended: Ended,
    /// How many processes that are alive descend from a life directly.
    children: HashMap<i64, u32>,
    position: Position,
    /// The time of the last event.
    last_time: i64,
    span: Option<Span>,
    resync: Option<Resync>,
    /// PIDs and lives that the last table did not have, and when it was read.
    gone: (Vec<(u32, i64)>, i64),
    wants_table: bool,
    /// Processes have another parent than is known, or the last table did not have all processes.
    wants_table_soon: bool,
    last_resync: Duration,
    /// Events before this one are recorded already.
    skip_before: u64,
    /// The number of the event that is read next.
    read_seq: u64,
    /// About how many bytes were added since the last commit.
    added: usize,
    /// The file is large enough, or from yesterday.
    wants_file: bool,
    /// A file that was damaged, under its new name.
    set_aside: Option<PathBuf>,
    last_commit: Duration,
}

/// A table, and the numbers of the first events that may not be in it and that surely are not.
#[derive(Debug)]
struct Resync {
    table: Snapshot,
    from: u64,
    to: u64,
    /// Whether the table surely has all processes.
    has_room: bool,
    /// The last life that was known when the rows of the table were added; `None` until then.
    known: Option<i64>,
}

impl Recorder {
    /// Begins to record what `source` has into the files of `dir`. It goes on with the last one if that is
    /// of this boot. A file that is damaged is set aside.
    ///
    /// # Errors
    ///
    /// [`Error::Recording`], [`Error::OtherVersion`], [`Error::TooSmall`], and where files cannot be
    /// written.
    pub fn open(dir: impl AsRef<Path>, options: Options, source: &Source) -> Result<Self> {
        if options.max_size < LEAST {
            return Err(Error::TooSmall { least: LEAST });
        }
        let lock = Lock::new(dir.as_ref(), options.group)?;
        let boot = Boot {
            boot_id: source.boot_id.clone(),
            host: host(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let mut files = folder::files(lock.dir())?;
        let number = files.last().map_or(1, |last| last.number + 1);
        let mut set_aside = None;
        let mut before = None;
        while let Some(file) = files.pop() {
            let resumed =
                Store::open(&file.path).and_then(|store| Ok((Resume::read(&store)?, store)));
            match resumed {
                // Who made it was killed before a life was in it: all of them are in the file before.
                Ok((resume, store)) if resume.last_id.is_none() => {
                    drop(store);
                    file.remove()?;
                }
                Ok((resume, store)) => {
                    before = Some((file, store, resume));
                    break;
                }
                Err(err) if err.is_damage() => set_aside = Some(file.set_aside()?),
                Err(err) => return Err(err),
            }
        }
        let last_id = before.as_ref().and_then(|(.., resume)| resume.last_id);
        let goes_on = |resume: &Resume| resume.boot_id == source.boot_id;
        let is_whole = set_aside.is_none();
        let (file, store, resume, is_new) = match before {
            Some((file, store, resume)) if is_whole && goes_on(&resume) => {
                (file, store, Some(resume), false)
            }
            before => {
                let file = FileName::new(lock.dir(), number, &today(source.clock));
                let store = create(&lock, &file, &boot, nanos(Clock::since_boot()))?;
                let resume = match before {
                    Some((_, store, resume)) => {
                        close(store)?;
                        Some(resume).filter(goes_on)
                    }
                    None => None,
                };
                (file, store, resume, true)
            }
        };
        store.keep_short(options.max_beside())?;
        let mut this = Self {
            lock,
            options,
            boot,
            clock: source.clock,
            boot_time: None,
            file,
            store,
            interner: Interner::default(),
            cgroups: HashMap::new(),
            batch: Batch::default(),
            last_id: last_id.unwrap_or_default(),
            alive: HashMap::new(),
            dirty: HashSet::new(),
            ended: Ended::default(),
            children: HashMap::new(),
            position: Position {
                stream: source.stream,
                next_seq: source.next_seq,
            },
            last_time: 0,
            span: None,
            resync: None,
            gone: (Vec::new(), 0),
            wants_table: true,
            wants_table_soon: false,
            last_resync: Duration::ZERO,
            skip_before: 0,
            read_seq: source.next_seq,
            added: 0,
            wants_file: false,
            set_aside,
            last_commit: Clock::since_boot(),
        };
        match resume {
            Some(resume) if is_new => {
                // The file that was damaged is missing between.
                this.take_lives(resume.lives, resume.ended);
                this.repeat_lives();
            }
            Some(resume) => this.resume(resume),
            None => {}
        }
        Ok(this)
    }

    /// Goes on with the lives of another recorder.
    fn take_lives(&mut self, lives: Vec<Life>, ended: Vec<((u32, i64), i64)>) {
        for (identity, life) in ended {
            self.ended.insert(identity, life);
        }
        for life in lives {
            if let Some(parent) = life.last_parent.or(life.parent) {
                *self.children.entry(parent).or_default() += 1;
            }
            self.alive.insert(life.process.pid, life);
        }
    }

    fn resume(&mut self, resume: Resume) {
        self.interner = Interner::after(resume.last_string, resume.last_command);
        self.boot_time = resume.boot_time;
        self.last_time = resume.span.map_or(0, |span| span.until);
        self.take_lives(resume.lives, resume.ended);
        // The same events, and none is missing between.
        let goes_on = resume.position.is_some_and(|position| {
            position.stream == self.position.stream && self.position.next_seq <= position.next_seq
        });
        if let Some(position) = resume.position.filter(|_| goes_on) {
            self.skip_before = position.next_seq;
            self.position = position;
            self.span = resume.span;
            self.wants_table = self.span.is_none();
        }
    }

    /// The damaged file that was set aside, under its new name.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    /// The file that is written.
    pub fn file(&self) -> &Path {
        &self.file.path
    }

    /// Whether the table is to be read for [`resync`](Self::resync): at the beginning, after a loss, and
    /// after the end of a process whose children go on.
    pub fn wants_table(&self) -> bool {
        let is_due = || Clock::since_boot().saturating_sub(self.last_resync) >= RESYNC;
        self.resync.is_none() && (self.wants_table || (self.wants_table_soon && is_due()))
    }

    /// Compares what is known with a table. `from` is the number of the next event
    /// ([`Reader::next_seq`](kamap::Reader::next_seq)) as of before it was read, `to` as of after that.
    /// A table without room ([`Table::max_entries`](kamap::Table::max_entries)) may lack processes: from then on
    /// not all is recorded.
    pub fn resync(&mut self, table: Snapshot, from: u64, to: u64, has_room: bool) {
        (self.wants_table, self.wants_table_soon) = (false, !has_room);
        self.last_resync = table.time;
        self.resync = Some(Resync {
            table,
            from,
            to,
            has_room,
            known: None,
        });
        self.read_up_to(self.position.next_seq);
    }

    /// Adds what was read.
    pub fn add(&mut self, item: Item) {
        if let Some(seq) = item.seq() {
            self.read_seq = seq + 1;
            if seq < self.skip_before {
                return;
            }
            self.read_up_to(seq);
        }
        match item {
            Item::Event(event) => {
                self.added += size(&event.process);
                self.position.next_seq = event.seq + 1;
                self.event(event);
            }
            Item::Replaced(replaced) => self.position.next_seq = replaced.seq + 1,
            // What was lost between events that are recorded is so, too.
            Item::Lost(lost)
                if lost.cause == Cause::RingFull && self.read_seq < self.skip_before => {}
            Item::Lost(lost) => self.lost(lost),
            _ => {}
        }
    }

    /// Whether so much was added that it is to be written ([`commit`](Self::commit)) before more is added:
    /// otherwise the files could have more bytes than was allowed.
    pub fn has_much(&self) -> bool {
        self.added >= MOST_ADDED
    }

    /// Says that all events before this number were added.
    pub fn read_up_to(&mut self, next_seq: u64) {
        let Some(mut resync) = self.resync.take() else {
            return;
        };
        if next_seq >= resync.from && resync.known.is_none() {
            resync.known = Some(self.last_id);
            self.add_table(&resync.table);
        }
        if let Some(known) = resync.known.filter(|_| next_seq >= resync.to) {
            self.remove_gone(&resync.table, known);
            let since = nanos(resync.table.time);
            match resync.has_room {
                true => {
                    self.span.get_or_insert(Span {
                        since,
                        until: since,
                    });
                }
                false => self.end_span(),
            }
        } else {
            self.resync = Some(resync);
        }
    }

    /// Adds what the table has and is not known, and what has changed.
    fn add_table(&mut self, table: &Snapshot) {
        let now = nanos(table.time);
        for process in table {
            if !self.is_known(process) {
                self.begin(process.clone(), Some(now));
            }
        }
        // Parents may come after their children.
        for process in table {
            self.change(process, now);
        }
    }

    /// Notes what has changed without an event.
    fn change(&mut self, process: &Process, now: i64) {
        let parent = self.parent_of(process);
        let Some(life) = self.alive.get(&process.pid) else {
            return;
        };
        let is_same = life.process.start_time == process.start_time
            && life.process.execs == process.execs
            && !life.is_only_parent;
        if !is_same {
            return;
        }
        let comm = self.interner.string(process.comm_bytes(), &mut self.batch);
        let cgroup = self.cgroup(process);
        let Some(life) = self.alive.get_mut(&process.pid) else {
            return;
        };
        let facts = Facts {
            comm,
            uid: process.uid,
            gid: process.gid,
            cgroup,
            ..life.last
        };
        let parent_before = life.last_parent.or(life.parent);
        if facts == life.last && parent == parent_before {
            return;
        }
        self.batch.changes.push(ChangeRow {
            life: life.id,
            time: now,
            parent,
            facts,
        });
        life.last = facts;
        take_state(&mut life.process, process);
        if parent != parent_before {
            life.last_parent = parent.filter(|_| parent != life.parent);
            self.moved(parent_before, parent);
        }
        self.dirty.insert(process.pid);
    }

    /// Counts a child for another parent.
    fn moved(&mut self, from: Option<i64>, to: Option<i64>) {
        if let Some(from) = from
            && let Some(count) = self.children.get_mut(&from)
        {
            *count -= 1;
            if *count == 0 {
                self.children.remove(&from);
            }
        }
        if let Some(to) = to {
            *self.children.entry(to).or_default() += 1;
        }
    }

    /// Notes those that the table does not have, of the lives up to `known`: the others can be younger than
    /// the table, though they began to start before.
    fn remove_gone(&mut self, table: &Snapshot, known: i64) {
        self.end_gone();
        let gone = self
            .alive
            .values()
            .filter(|life| {
                let process = &life.process;
                let row = table.get(process.pid);
                life.id <= known && row.is_none_or(|row| row.start_time != process.start_time)
            })
            .map(|life| (life.process.pid, life.id))
            .collect();
        self.gone = (gone, nanos(table.time));
    }

    /// Ends those that the last table did not have and whose exits have not come since.
    fn end_gone(&mut self) {
        let time = self.gone.1;
        if self.gone.0.is_empty() || self.last_time < time + GRACE {
            return;
        }
        for (pid, id) in std::mem::take(&mut self.gone.0) {
            if self.alive.get(&pid).is_some_and(|life| life.id == id) {
                self.end(pid, time, None);
            }
        }
    }

    fn lost(&mut self, lost: Lost) {
        let now = nanos(Clock::since_boot());
        self.batch.losses.push(LossRow {
            since: self.last_time,
            time: now,
            cause: match lost.cause {
                Cause::RingFull => "ring_full",
                Cause::TableFull => "table_full",
                _ => "missed_runs",
            },
            count: lost.count as i64,
        });
        self.end_span();
        self.wants_table = true;
        // It may lack what was lost after it.
        self.resync = None;
    }

    fn end_span(&mut self) {
        if let Some(span) = self.span.take() {
            let until = self.last_time.max(span.until);
            self.batch.spans.push(Span { until, ..span });
        }
    }

    fn event(&mut self, event: Event) {
        let Event {
            time,
            process,
            kind,
            ..
        } = event;
        let time = nanos(time);
        self.last_time = self.last_time.max(time);
        self.end_gone();
        let pid = process.pid;
        if let EventKind::ExecFailed(errno) = kind {
            return self.failed_exec(process, time, errno);
        }
        if !self.is_known(&process) {
            let seen = Some(time).filter(|_| !matches!(kind, EventKind::Fork));
            self.begin(process.clone(), seen);
        }
        match kind {
            EventKind::Exec => self.exec(process, time),
            EventKind::Exit(exit) => {
                self.leave(&process);
                self.end(pid, time, Some(exit));
            }
            _ => {}
        }
    }

    /// Whether it is a life that has not ended, and more is known of it than that it is a parent.
    fn is_known(&self, process: &Process) -> bool {
        self.alive.get(&process.pid).is_some_and(|life| {
            life.process.start_time == process.start_time && !life.is_only_parent
        })
    }

    /// Adds a life. What ran under its PID before has ended.
    fn begin(&mut self, process: Process, seen: Option<i64>) {
        let pid = process.pid;
        let (mut id, mut seen) = (None, seen);
        if let Some(life) = self.alive.get(&pid) {
            if life.process.start_time == process.start_time {
                // It was seen before, as a parent: the order of lives is that in which they were seen.
                (id, seen) = (Some(life.id), life.seen);
            } else {
                self.end(pid, nanos(process.start_time), None);
            }
        }
        let parent = self.parent_of(&process);
        let id = id.unwrap_or_else(|| self.next_id());
        let (process, redacted) = self.options.redaction.apply(process);
        let facts = self.facts(&process, redacted);
        if let (Some(time), Some(_)) = (process.last_exec_time, seen) {
            // What it ran before is not known.
            self.push_exec(id, time, process.execs, facts);
        }
        self.insert(Life {
            id,
            process,
            redacted,
            seen,
            parent,
            last_parent: None,
            is_only_parent: false,
            first: facts,
            last: facts,
        });
    }

    fn push_exec(&mut self, life: i64, time: Duration, number: u32, facts: Facts) {
        self.batch.execs.push(ExecRow {
            life,
            time: nanos(time),
            number,
            facts,
        });
    }

    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    fn insert(&mut self, life: Life) {
        let pid = life.process.pid;
        if let Some(parent) = life.last_parent.or(life.parent) {
            *self.children.entry(parent).or_default() += 1;
        }
        self.alive.insert(pid, life);
        self.dirty.insert(pid);
    }

    /// The life of the parent, if there is one.
    fn parent_of(&mut self, process: &Process) -> Option<i64> {
        let (pid, start) = (process.ppid, process.parent_start_time?);
        if let Some(life) = self.alive.get(&pid)
            && life.process.start_time == start
        {
            return Some(life.id);
        }
        if let Some(id) = self.ended.get((pid, nanos(start))) {
            return Some(id);
        }
        match self.alive.get(&pid).map(|life| life.process.start_time) {
            // It has ended before the one that has its PID now, and was not seen.
            Some(other) if other > start => return None,
            // The end of the one that had its PID was lost.
            Some(_) => self.end(pid, nanos(start), None),
            None => {}
        }
        let process = Process::new(pid, start);
        let facts = Facts {
            comm: self.interner.string(b"", &mut self.batch),
            ..Facts::default()
        };
        let id = self.next_id();
        self.insert(Life {
            id,
            process,
            redacted: false,
            seen: Some(self.last_time),
            parent: None,
            last_parent: None,
            is_only_parent: true,
            first: facts,
            last: facts,
        });
        Some(id)
    }

    fn exec(&mut self, process: Process, time: i64) {
        let (process, redacted) = self.options.redaction.apply(process);
        let facts = self.facts(&process, redacted);
        let Some(life) = self.alive.get_mut(&process.pid) else {
            return;
        };
        let (id, number, pid) = (life.id, process.execs, process.pid);
        life.last = facts;
        life.redacted = redacted;
        life.is_only_parent = false;
        life.process = process;
        self.dirty.insert(pid);
        self.batch.execs.push(ExecRow {
            life: id,
            time,
            number,
            facts,
        });
    }

    fn failed_exec(&mut self, process: Process, time: i64, errno: i32) {
        let pid = process.pid;
        if !self.is_known(&process) {
            self.begin(process.clone(), Some(time));
        }
        let Some(life) = self.alive.get(&pid).map(|life| life.id) else {
            return;
        };
        let (process, redacted) = self.options.redaction.apply(process);
        let command = self.interner.command(&process, redacted, &mut self.batch);
        self.batch.failed_execs.push(FailedExecRow {
            life,
            time,
            errno,
            command,
        });
    }

    /// Takes over what a process was at its end. What it ran is known from its exec.
    fn leave(&mut self, process: &Process) {
        let parent = self.parent_of(process);
        let comm = self.interner.string(process.comm_bytes(), &mut self.batch);
        let cgroup = self.cgroup(process);
        let Some(life) = self.alive.get_mut(&process.pid) else {
            return;
        };
        life.last = Facts {
            comm,
            uid: process.uid,
            gid: process.gid,
            cgroup,
            ..life.last
        };
        life.process.execs = process.execs;
        let before = life.last_parent.or(life.parent);
        if parent != before {
            life.last_parent = parent.filter(|_| parent != life.parent);
            self.moved(before, parent);
        }
    }

    /// Ends a life: by `time`, and how, unless its exit was lost.
    fn end(&mut self, pid: u32, time: i64, exit: Option<Exit>) {
        let Some(life) = self.alive.remove(&pid) else {
            return;
        };
        self.dirty.remove(&pid);
        self.moved(life.last_parent.or(life.parent), None);
        // Somebody else is the parent of its children now.
        self.wants_table_soon |= self.children.contains_key(&life.id);
        let start = nanos(life.process.start_time);
        self.ended.insert((pid, start), life.id);
        let exit = exit.map(|exit| (exit.status, nanos(exit.cpu_time), exit.max_rss as i64));
        self.batch.lives.push(LifeRow {
            end: Some(time),
            exit,
            ..life.row()
        });
    }

    fn facts(&mut self, process: &Process, redacted: bool) -> Facts {
        Facts {
            command: Some(self.interner.command(process, redacted, &mut self.batch)),
            comm: self.interner.string(process.comm_bytes(), &mut self.batch),
            uid: process.uid,
            gid: process.gid,
            cgroup: self.cgroup(process),
        }
    }

    fn cgroup(&mut self, process: &Process) -> i64 {
        let id = process.cgroup_id.cast_signed();
        let path = process.cgroup().map(Cgroup::path);
        // It may be found later.
        if !self.cgroups.contains_key(&id) || (path.is_some() && !self.cgroups[&id]) {
            self.cgroups.insert(id, path.is_some());
            let path = path.map(|path| Text::from(path.as_os_str().as_bytes()));
            self.batch.cgroups.push((id, path));
        }
        id
    }

    /// Writes what was added; converts times by this clock from now on. If that fails, it can be tried
    /// again: nothing is lost.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written; [`Error::is_full`], if there is no room.
    pub fn commit(&mut self, clock: Clock) -> Result<()> {
        self.clock = clock;
        let now = Clock::since_boot();
        let is_idle = self.batch.is_empty() && self.dirty.is_empty() && !self.wants_file;
        if is_idle && now.saturating_sub(self.last_commit) < HEARTBEAT {
            return Ok(());
        }
        self.note_clock();
        for pid in self.dirty.drain() {
            self.batch
                .lives
                .extend(self.alive.get(&pid).map(|life| life.row()));
        }
        if let Some(span) = &mut self.span {
            span.until = self.last_time.max(span.until);
            self.batch.spans.push(*span);
        }
        self.batch.position = Some(self.position);
        self.store.write(&self.batch)?;
        self.batch = Batch::default();
        (self.last_commit, self.added) = (now, 0);
        let is_full = self.file.size() >= self.options.max_file_size();
        self.wants_file |= is_full || self.file.day != today(self.clock);
        if self.wants_file {
            // Those that are alive come again.
            let lives = self.alive.values().map(|life| size(&life.process));
            self.make_room(lives.sum::<usize>() as u64)?;
            self.begin_file()?;
            self.wants_file = false;
        }
        self.make_room(0)
    }

    /// Says that nothing happens: all events before `time`, since boot, were added.
    pub fn idle(&mut self, time: Duration) {
        if self.resync.is_none() && self.span.is_some() {
            self.last_time = self.last_time.max(nanos(time));
            self.end_gone();
        }
    }

    fn note_clock(&mut self) {
        let boot_time = self.clock.system_time(Duration::ZERO);
        let boot_time = nanos(boot_time.duration_since(UNIX_EPOCH).unwrap_or_default());
        let is_same = |before: i64| before.abs_diff(boot_time) < 1_000_000;
        if !self.boot_time.is_some_and(is_same) {
            // The first one of a file counts for what was before it, too.
            let since = match self.boot_time {
                Some(_) => nanos(Clock::since_boot()),
                None => 0,
            };
            self.batch.clocks.push((since, boot_time));
            self.boot_time = Some(boot_time);
        }
    }

    /// Removes files that are too old, and the oldest where they are too large, those first that were
    /// damaged. `wanted`: how much will be written besides what is written at once.
    fn make_room(&self, wanted: u64) -> Result<()> {
        let mut files = folder::files(self.lock.dir())?;
        files.retain(|file| file.number < self.file.number);
        let damaged = folder::set_aside(self.lock.dir())?;
        let mut size: u64 = files.iter().map(FileName::size).sum();
        size += damaged.iter().map(|(_, file)| file.len()).sum::<u64>();
        size += self.file.size() + self.options.margin() + wanted;
        let is_old = |written: SystemTime| {
            let age = written.elapsed().unwrap_or_default();
            age > self.options.keep
        };
        for (path, file) in damaged {
            if size > self.options.max_size || file.modified().is_ok_and(is_old) {
                fs::remove_file(&path).map_err(folder::system("remove", &path))?;
                size = size.saturating_sub(file.len());
            }
        }
        for file in files {
            let written = fs::metadata(&file.path).and_then(|file| file.modified());
            if !written.is_ok_and(is_old) && size <= self.options.max_size {
                break;
            }
            size = size.saturating_sub(file.size());
            file.remove()?;
        }
        Ok(())
    }

    /// Goes on in a new file.
    fn begin_file(&mut self) -> Result<()> {
        let file = FileName::new(self.lock.dir(), self.file.number + 1, &today(self.clock));
        let since = self
            .span
            .map_or_else(|| nanos(Clock::since_boot()), |span| span.until);
        let store = create(&self.lock, &file, &self.boot, since)?;
        store.keep_short(self.options.max_beside())?;
        let before = std::mem::replace(&mut self.store, store);
        (self.file, self.wants_file) = (file, false);
        (self.interner, self.boot_time) = (Interner::default(), None);
        self.cgroups.clear();
        self.repeat_lives();
        if let Some(span) = &mut self.span {
            let since = span.until;
            *span = Span {
                since,
                until: since,
            };
            self.batch.spans.push(*span);
        }
        self.batch.position = Some(self.position);
        // Whatever fails from now on, all that is to be in the new file is in the batch.
        close(before)?;
        self.store.write(&self.batch)?;
        self.batch = Batch::default();
        Ok(())
    }

    /// Adds all that are alive to a new file.
    fn repeat_lives(&mut self) {
        self.note_clock();
        let mut alive = std::mem::take(&mut self.alive);
        for life in alive.values_mut() {
            let facts = match life.is_only_parent {
                true => Facts {
                    comm: self.interner.string(b"", &mut self.batch),
                    ..Facts::default()
                },
                false => self.facts(&life.process, life.redacted),
            };
            (life.first, life.last) = (facts, facts);
            if let Some(time) = life.process.last_exec_time {
                self.push_exec(life.id, time, life.process.execs, facts);
            }
            self.batch.lives.push(life.row());
        }
        self.alive = alive;
    }

    /// Ends recording: writes what was added, and leaves one file.
    ///
    /// # Errors
    ///
    /// As of [`commit`](Self::commit).
    pub fn close(mut self) -> Result<()> {
        self.last_commit = Duration::ZERO;
        self.commit(self.clock)?;
        close(self.store)
    }
}

/// Makes a new file.
fn create(lock: &Lock, file: &FileName, boot: &Boot, since: i64) -> Result<Store> {
    let unfinished = file.unfinished();
    let created = lock
        .create(&unfinished)
        .and_then(|()| Store::create(&unfinished, &file.path, boot, since));
    if created.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    created
}

/// Closes a file. Without room it stays as it is, and can be read.
fn close(store: Store) -> Result<()> {
    match store.close() {
        Err(err) if !err.is_full() => Err(err),
        _ => Ok(()),
    }
}

/// About how many bytes a process needs in a file, at its exec or when it is repeated.
fn size(process: &Process) -> usize {
    let args = process.args().map(OsStr::len).sum::<usize>();
    let paths = [process.exe(), process.file()].into_iter().flatten();
    256 + args + paths.map(|path| path.as_os_str().len()).sum::<usize>()
}

/// Takes over what can change without an exec.
fn take_state(process: &mut Process, now: &Process) {
    let taken = std::mem::replace(process, Process::new(0, Duration::ZERO));
    *process = taken.with_comm(now.comm_bytes());
    process.ppid = now.ppid;
    process.parent_start_time = now.parent_start_time;
    process.uid = now.uid;
    process.gid = now.gid;
    process.cgroup_id = now.cgroup_id;
}

/// The day in UTC.
fn today(clock: Clock) -> String {
    let now: SystemTime = clock.system_time(Clock::since_boot());
    let now = Timestamp::try_from(now).unwrap_or(Timestamp::MAX);
    now.to_zoned(TimeZone::UTC).date().to_string()
}

/// The name of the machine.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| String::new(), |name| name.trim().to_owned())
}
