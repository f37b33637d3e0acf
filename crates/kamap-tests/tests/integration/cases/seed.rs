//! Processes that were alive before the tracker.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use kamap::{Origin, Tracker};
use kamap_tests::table::{as_stat, compare_with_proc, nothing_lost, row, snapshot, tracker};
use kamap_tests::{Held, Loaded, Tiny, eventually, run_first, run_on, stat};
use libbpf_rs::query::MapInfoIter;
use libbpf_rs::{MapCore, MapFlags, MapHandle};

use crate::programs::{CROWD, held};

#[test]
fn what_was_alive_before_is_seeded_and_leaves_like_any_other() {
    let before = Held::start(&mut held());
    let pid = before.pid();
    let tracker = tracker();
    let process = row(&tracker, pid).expect("it was alive");
    assert_eq!((process.origin, process.execs), (Origin::Seed, 0));
    let mut known = as_stat(&process);
    let mut expected = stat(pid).expect("it is alive");
    // Arguments have a test of their own.
    (known.args, expected.args) = (Vec::new(), Vec::new());
    assert_eq!(known, expected);
    before.release();
    assert_eq!(row(&tracker, pid), None);
}

#[test]
fn the_arguments_of_what_was_alive_before_are_read() {
    let before = Held::start(held().args(["0", "some argument"]));
    let tracker = tracker();
    let process = row(&tracker, before.pid()).expect("it was alive");
    assert_eq!(
        process.args().skip(1).collect::<Vec<_>>(),
        ["0", "some argument"]
    );
    assert!(!process.args_cut);
}

#[test]
fn a_zombie_is_no_live_process() {
    let mut zombie = Command::new("true").spawn().expect("it starts");
    let pid = zombie.id();
    eventually("it has ended", || stat(pid).filter(|stat| stat.ended));
    let tracker = tracker();
    assert_eq!(row(&tracker, pid), None);
    zombie.wait().expect("it can be reaped");
}

#[test]
fn a_tracker_that_starts_amid_a_storm_is_exact() {
    let tiny = Tiny::new();
    let tiny = &tiny;
    let trackers_left = &AtomicUsize::new(5);
    let trackers: Vec<_> = thread::scope(|scope| {
        let storm = move || (0..20_000).take_while(|_| trackers_left.load(Ordering::Relaxed) > 0);
        for _ in 0..3 {
            scope.spawn(move || {
                for _ in storm() {
                    tiny.run();
                }
            });
        }
        let start = |_| {
            let tracker = tracker();
            trackers_left.fetch_sub(1, Ordering::Relaxed);
            tracker
        };
        (0..5).map(start).collect()
    });
    for tracker in &trackers {
        compare_with_proc(tracker);
        assert_eq!(tracker.losses().expect("it can be read").total(), 0);
    }
}

/// What all children of a [`Crowd`] do at the same moment.
#[derive(Clone, Copy, PartialEq)]
enum Do {
    End,
    Exec,
}

/// Children that wait for a signal, all on one CPU and with a higher priority than anything else.
///
/// A tracker that seeds on that CPU is stopped wherever it is, and continues when all of them have
/// acted: probably after it has read one of them in its old state.
struct Crowd {
    parent: Held,
    pids: Vec<u32>,
    cpu: usize,
}

impl Crowd {
    const SIZE: usize = 200;

    /// How often it is tried. In more than half of the rounds, the tracker has read one of them in
    /// its old state.
    const ROUNDS: usize = 5;

    #[track_caller]
    fn start(tiny: &Tiny, what: Do) -> Self {
        // SAFETY: takes nothing.
        let cpu = unsafe { libc::sched_getcpu() } as usize;
        let mut command = Command::new(CROWD);
        command.args([Self::SIZE.to_string(), cpu.to_string()]);
        if what == Do::Exec {
            command.arg(tiny.path());
        }
        let parent = Held::start(command.process_group(0));
        let pids = parent.said().split(' ').map(str::parse);
        let pids: Vec<_> = pids.collect::<Result<_, _>>().expect("they are PIDs");
        assert_eq!(pids.len(), Self::SIZE);
        Self { parent, pids, cpu }
    }

    /// Starts a tracker, and lets the children act when it has read the one with this number.
    #[track_caller]
    fn meet_tracker(&self, number: usize) -> Tracker {
        let (cpu, group) = (self.cpu, self.parent.pid().cast_signed());
        let pid = self.pids[number].to_ne_bytes();
        thread::scope(|scope| {
            scope.spawn(move || {
                let table = eventually("its table is made", table);
                run_on(cpu);
                run_first();
                // This thread runs before the tracker on this CPU, so it has to leave some time to it.
                let met = || table.lookup(&pid, MapFlags::ANY);
                while met().expect("the table can be read").is_none() {
                    thread::sleep(Duration::from_micros(200));
                }
                // SAFETY: the group is that of a child that has not been waited for.
                let sent = unsafe { libc::kill(-group, libc::SIGUSR1) };
                assert_eq!(sent, 0);
            });
            // In a thread, so that this one may run on any CPU afterwards.
            let tracker = scope.spawn(move || {
                run_on(cpu);
                tracker()
            });
            tracker.join().expect("it starts")
        })
    }
}

/// The table of this test's only tracker, when it exists.
fn table() -> Option<MapHandle> {
    let maps = Loaded::by(std::process::id()).maps;
    let mut infos = MapInfoIter::default();
    let table = infos.find(|info| maps.contains(&info.id) && info.name == "processes")?;
    MapHandle::from_map_id(table.id).ok()
}

#[test]
fn what_ends_while_a_tracker_seeds_never_stays() {
    let tiny = Tiny::new();
    for round in 0..Crowd::ROUNDS {
        let crowd = Crowd::start(&tiny, Do::End);
        let tracker = crowd.meet_tracker(round * Crowd::SIZE / 20);
        assert!(crowd.parent.release().success());
        let rows = snapshot(&tracker);
        let ghosts: Vec<_> = crowd.pids.iter().filter_map(|pid| rows.get(pid)).collect();
        assert!(ghosts.is_empty(), "round {round}: {ghosts:?}");
        nothing_lost(&tracker);
    }
}

#[test]
fn what_execs_while_a_tracker_seeds_is_not_overwritten() {
    let tiny = Tiny::new();
    for round in 0..Crowd::ROUNDS {
        let mut crowd = Crowd::start(&tiny, Do::Exec);
        let tracker = crowd.meet_tracker(round * Crowd::SIZE / 20);
        for _ in &crowd.pids {
            assert_eq!(crowd.parent.line(), "", "it has exec'd");
        }
        let rows = snapshot(&tracker);
        for pid in &crowd.pids {
            let process = rows.get(pid).expect("it is alive");
            assert_eq!(
                (process.origin, process.execs),
                (Origin::Exec, 1),
                "{process:?}"
            );
        }
        assert!(crowd.parent.release().success());
        let rows = snapshot(&tracker);
        assert!(crowd.pids.iter().all(|pid| !rows.contains_key(pid)));
        nothing_lost(&tracker);
    }
}

#[test]
fn the_table_holds_what_proc_holds() {
    compare_with_proc(&tracker());
}
