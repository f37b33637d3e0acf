//! Ring buffers and perf event arrays. BPF programs of the suite send records when a test runs
//! them.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kamap_bpf::{AnyMap, Error, PerfEventArray, RingBuf, Sample, Stop};
use kamap_tests::{BpfFs, SetOnDrop};
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{ErrorKind, MapCore, OpenObject, ProgramInput, ProgramMut, libbpf_sys};
use tokio::io::unix::AsyncFd;

kamap_tests::skeleton!(records);

/// A record of 16 bytes, in which each word is the record's number.
type Pair = [u64; 2];

/// No test waits longer for a record that was sent.
const BOUND: Duration = Duration::from_secs(60);

/// The maximum number of records that a program sends in one run.
const RUN: u64 = 64;

/// Size of the buffer of each CPU in bytes.
const BUFFER: usize = 4096;

#[track_caller]
fn loaded(storage: &mut MaybeUninit<OpenObject>) -> records::RecordsSkel<'_> {
    let open = records::RecordsSkelBuilder::default()
        .open(storage)
        .expect("the object is in order");
    open.load().expect("the kernel takes it")
}

#[track_caller]
fn duplicate(fd: impl AsFd) -> OwnedFd {
    fd.as_fd()
        .try_clone_to_owned()
        .expect("it can be duplicated")
}

/// Makes `program` send `count` records of `len` bytes on `cpu`, numbered from `first`. Returns how
/// many the kernel refused.
#[track_caller]
fn send_on(cpu: u32, program: &ProgramMut<'_>, first: u64, count: u64, len: u64) -> u64 {
    let mut refused = 0;
    for from in (first..first + count).step_by(RUN as usize) {
        let most = RUN.min(first + count - from);
        let mut request = [from, most, len].map(u64::to_ne_bytes).concat();
        let input = ProgramInput {
            context_in: Some(&mut request),
            cpu,
            flags: libbpf_sys::BPF_F_TEST_RUN_ON_CPU,
            ..ProgramInput::default()
        };
        let output = program.test_run(input).expect("it runs");
        assert!(
            u64::from(output.return_value) <= most,
            "it was not asked well"
        );
        refused += u64::from(output.return_value);
    }
    refused
}

#[track_caller]
fn send(program: &ProgramMut<'_>, first: u64, count: u64, len: u64) -> u64 {
    send_on(0, program, first, count, len)
}

fn cpus() -> std::ops::Range<u32> {
    // SAFETY: takes a number and returns one.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    0..u32::try_from(count).expect("there are some")
}

#[test]
fn a_ring_wraps_around_thousands_of_times_and_every_record_comes_in_order() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    // 48 bytes with the header; 4,096 is not a multiple of that.
    let mut ring = RingBuf::<[u64; 5]>::from_fd(duplicate(&skel.maps.ring)).expect("it is one");
    let mut next = 0;
    for _ in 0..3_000 {
        assert_eq!(send(&skel.progs.to_ring, next, RUN, 40), 0);
        while let Some(record) = ring.read().expect("it is in order") {
            assert_eq!(record, [next; 5]);
            next += 1;
        }
    }
    assert_eq!(next, 3_000 * RUN);
}

#[test]
fn a_record_of_a_ring_too_short_or_too_long_is_an_error_and_passed_over() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let mut ring = RingBuf::<Pair>::from_fd(duplicate(&skel.maps.ring)).expect("it is one");
    let lengths = [16, 15, 17, 0, 256, 16];
    for (number, len) in (0..).zip(lengths) {
        assert_eq!(send(&skel.progs.to_ring, number, 1, len), 0);
    }
    assert_eq!(ring.read().expect("it has 16 bytes"), Some([0; 2]));
    for len in [15, 17, 0, 256] {
        let error = ring.read().expect_err("it has not 16 bytes").to_string();
        assert_eq!(
            error,
            format!("a record in map `ring` has {len} bytes, the Rust type 16")
        );
    }
    assert_eq!(ring.read().expect("it has 16 bytes"), Some([5; 2]));
    assert_eq!(ring.read().expect("there are no more"), None);

    // The next reader continues where this one stopped.
    drop(ring);
    for (number, len) in (0..).zip(lengths) {
        send(&skel.progs.to_ring, number, 1, len);
    }
    let mut ring = RingBuf::<[u8]>::from_fd(duplicate(&skel.maps.ring)).expect("it is one");
    for (number, len) in (0_u64..).zip(lengths) {
        let record = ring.read().expect("any length will do").expect("it waits");
        assert_eq!(record.len() as u64, len);
        for word in record.chunks_exact(8) {
            assert_eq!(word, number.to_ne_bytes());
        }
    }
    assert_eq!(ring.read().expect("there are no more"), None);
}

#[test]
fn discarded_records_are_passed_over() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let mut ring = RingBuf::<Pair>::from_fd(duplicate(&skel.maps.ring)).expect("it is one");
    for round in 0..500 {
        send(&skel.progs.to_ring_and_back, 0, 3, 0);
        send(&skel.progs.to_ring, round, 1, 16);
        send(&skel.progs.to_ring_and_back, 0, 2, 0);
        assert_eq!(ring.read().expect("it is in order"), Some([round; 2]));
        assert_eq!(ring.read().expect("the others are passed over"), None);
    }
}

#[test]
fn what_a_full_ring_refuses_and_what_is_read_are_all() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let mut ring = RingBuf::<Pair>::from_fd(duplicate(&skel.maps.ring)).expect("it is one");
    for _ in 0..3 {
        let refused = send(&skel.progs.to_ring, 0, 1_000, 16);
        // Each needs 24 bytes, and one byte of the buffer stays free.
        assert_eq!(refused, 1_000 - 4_095 / 24);
        for number in 0..1_000 - refused {
            assert_eq!(ring.read().expect("it is in order"), Some([number; 2]));
        }
        assert_eq!(ring.read().expect("the others are refused"), None);
    }

    // The same during reading: the reader finds records that are not submitted yet.
    const COUNT: u64 = 100_000;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let all_sent = SetOnDrop(&done);
        let reader = scope.spawn(|| {
            let (mut read, mut least) = (0, 0);
            loop {
                let last = done.load(Ordering::Acquire);
                while let Some([number, same]) = ring.read().expect("it is in order") {
                    assert_eq!(number, same);
                    assert!(number >= least, "{number} comes after {least}");
                    least = number + 1;
                    read += 1;
                }
                if last {
                    return read;
                }
            }
        });
        let refused = send(&skel.progs.to_ring, 0, COUNT, 16);
        drop(all_sent);
        let read: u64 = reader.join().expect("all were in order");
        assert!(read > 0);
        assert_eq!(read + refused, COUNT);
    });
}

#[test]
fn two_readers_of_a_ring_notice_each_other() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let [mut one, mut other] = [(); 2]
        .map(|()| RingBuf::<Pair>::from_fd(duplicate(&skel.maps.ring)).expect("it is a ring"));
    send(&skel.progs.to_ring, 0, 2, 16);
    assert_eq!(one.read().expect("it is the first"), Some([0; 2]));
    let error = other.read().expect_err("the other was there before");
    assert!(
        matches!(&error, Error::AnotherReader { map } if map == "ring"),
        "{error}"
    );
    assert_eq!(one.read().expect("nobody has taken it"), Some([1; 2]));
}

/// The reader sleeps before each record is sent, and has to be woken: it would sleep longer than
/// this test waits.
#[track_caller]
fn is_woken_each_time(mut send: impl FnMut(u64), mut read: impl FnMut() -> u64 + Send) {
    const ROUNDS: u64 = 300;
    let (seen, sees) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..ROUNDS {
                seen.send(read()).expect("somebody listens");
            }
        });
        for round in 0..ROUNDS {
            send(round);
            assert_eq!(sees.recv_timeout(BOUND), Ok(round), "no wake-up");
        }
    });
}

#[test]
fn a_waiting_reader_of_a_ring_is_woken_by_each_record() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let mut ring = RingBuf::<Pair>::from_fd(duplicate(&skel.maps.ring)).expect("it is one");
    assert!(!ring.wait(Duration::from_micros(1)).expect("it is empty"));
    is_woken_each_time(
        |number| assert_eq!(send(&skel.progs.to_ring, number, 1, 16), 0),
        || loop {
            if let Some([number, _]) = ring.read().expect("it is in order") {
                return number;
            }
            assert!(ring.wait(2 * BOUND).expect("it can be waited for"));
        },
    );
}

#[test]
fn a_waiting_reader_of_samples_is_woken_by_each_of_any_cpu() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let map = duplicate(&skel.maps.samples);
    let mut samples = PerfEventArray::<Pair>::from_fd(map, BUFFER, 1).expect("it is one");
    assert!(!samples.wait(Duration::from_micros(1)).expect("it is empty"));
    let mut cpus = cpus().cycle();
    is_woken_each_time(
        |number| {
            let cpu = cpus.next().expect("there is one");
            assert_eq!(send_on(cpu, &skel.progs.to_samples, number, 1, 16), 0);
        },
        || loop {
            if let Some(sample) = samples.read().expect("it is in order") {
                return event(sample).1[0];
            }
            assert!(samples.wait(2 * BOUND).expect("it can be waited for"));
        },
    );
}

#[track_caller]
fn event<E: std::fmt::Debug>(sample: Sample<E>) -> (u32, E) {
    match sample {
        Sample::Event { cpu, event } => (cpu, event),
        _ => panic!("{sample:?}"),
    }
}

#[test]
fn the_buffer_of_each_cpu_wraps_around_a_thousand_times() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let map = duplicate(&skel.maps.samples);
    let mut samples = PerfEventArray::<[u64; 5]>::from_fd(map, BUFFER, 0).expect("it is one");
    // 56 bytes with the header; 4,096 is not a multiple of that.
    let mut next: Vec<u64> = cpus().map(|_| 0).collect();
    for _ in 0..1_200 {
        for cpu in cpus() {
            let first = next[cpu as usize];
            assert_eq!(send_on(cpu, &skel.progs.to_samples, first, RUN, 40), 0);
        }
        while let Some(sample) = samples.read().expect("it is in order") {
            let (cpu, event) = event(sample);
            assert_eq!(event, [next[cpu as usize]; 5]);
            next[cpu as usize] += 1;
        }
    }
    for next in next {
        assert_eq!(next, 1_200 * RUN);
    }
}

#[test]
fn a_sample_too_short_or_too_long_is_an_error_and_passed_over() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let map = duplicate(&skel.maps.samples);
    let mut samples = PerfEventArray::<Pair>::from_fd(map, BUFFER, 0).expect("it is one");
    let lengths = [16, 12, 21, 0, 256, 20];
    for (number, len) in (0..).zip(lengths) {
        assert_eq!(send(&skel.progs.to_samples, number, 1, len), 0);
    }
    let first = samples.read().expect("it has 16 bytes");
    assert_eq!(event(first.expect("it waits")), (0, [0; 2]));
    // These are their lengths with padding.
    for len in [12, 28, 4, 260] {
        let error = samples.read().expect_err("it has not 16 bytes").to_string();
        assert_eq!(
            error,
            format!("a record in map `samples` has {len} bytes, the Rust type 16")
        );
    }
    // 4 bytes more can be padding.
    let last = samples.read().expect("it has 20 bytes");
    assert_eq!(event(last.expect("it waits")), (0, [5; 2]));
    assert_eq!(samples.read().expect("there are no more"), None);
}

#[test]
fn samples_that_find_no_room_are_counted_at_their_place() {
    const COUNT: u64 = 1_000;
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let map = duplicate(&skel.maps.samples);
    let mut samples = PerfEventArray::<Pair>::from_fd(map, BUFFER, 0).expect("it is one");
    let to_samples = &skel.progs.to_samples;
    for round in 0..3 {
        let first = round * (COUNT + 1);
        let mut refused = Vec::new();
        for cpu in cpus() {
            refused.push(send_on(cpu, to_samples, first, COUNT, 16));
        }
        let mut next: Vec<u64> = cpus().map(|_| first).collect();
        while let Some(sample) = samples.read().expect("it is in order") {
            let (cpu, event) = event(sample);
            assert_eq!(event, [next[cpu as usize]; 2]);
            next[cpu as usize] += 1;
        }
        for cpu in cpus() {
            let (next, count) = (next[cpu as usize], refused[cpu as usize]);
            assert!(count > 0, "there was room for all");
            assert_eq!(next + count, first + COUNT);
            // The kernel reports the loss with the next sample.
            assert_eq!(send_on(cpu, to_samples, first + COUNT, 1, 16), 0);
            let lost = samples.read().expect("it is in order");
            assert_eq!(lost, Some(Sample::Lost { cpu, count }));
            let last = samples.read().expect("it is in order");
            let event = [first + COUNT; 2];
            assert_eq!(last, Some(Sample::Event { cpu, event }));
        }
    }
}

#[test]
fn a_dropped_reader_leaves_neither_buffers_nor_files() {
    let files = || fs::read_dir("/proc/self/fd").expect("it is there").count();
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let before = files();
    for _ in 0..3 {
        assert_eq!(send(&skel.progs.to_samples, 0, 1, 16), 1, "nobody reads");
        let map = duplicate(&skel.maps.samples);
        let mut samples = PerfEventArray::<Pair>::from_fd(map, BUFFER, 1).expect("it is one");
        let ring = RingBuf::<Pair>::from_fd(duplicate(&skel.maps.ring)).expect("it is one");
        assert_eq!(send(&skel.progs.to_samples, 7, 1, 16), 0);
        let sample = samples.read().expect("it is in order");
        assert_eq!(event(sample.expect("it waits")), (0, [7; 2]));
        drop((samples, ring));
        assert_eq!(files(), before);
        for cpu in cpus() {
            let place = skel.maps.samples.delete(&cpu.to_ne_bytes());
            let error = place.expect_err("it is empty");
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }
}

#[test]
fn a_ring_is_opened_wherever_it_is_found() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let folder = BpfFs::mount();
    let path = folder.at("ring");
    let any = AnyMap::from_fd(duplicate(&skel.maps.ring)).expect("it is a map");
    any.pin(&path).expect("the place is free");
    let id = any.info().id;
    // A ring has one reader, so each is dropped before the next one is opened.
    let opens: [&dyn Fn() -> kamap_bpf::Result<RingBuf<Pair>>; 3] = [
        &|| RingBuf::from_skeleton(&skel.maps.ring),
        &|| RingBuf::open_pinned(&path),
        &|| RingBuf::open_id(id),
    ];
    for (number, open) in (0..).zip(opens) {
        let mut ring = open().expect("it is a ring");
        assert_eq!(ring.as_fd().as_raw_fd(), ring.as_raw_fd());
        send(&skel.progs.to_ring, number, 1, 16);
        assert_eq!(ring.read().expect("it is in order"), Some([number; 2]));
    }
    // Other tests also have rings with this name.
    match RingBuf::<Pair>::open_name("ring") {
        Ok(ring) => assert!(format!("{ring:?}").contains("\"ring\"")),
        Err(Error::Ambiguous { ids, .. }) => assert!(ids.contains(&id)),
        Err(error) => panic!("{error}"),
    }
    let error = RingBuf::<Pair>::open_name("no_such_ring").expect_err("there is none");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[test]
fn a_perf_event_array_is_opened_wherever_it_is_found() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let folder = BpfFs::mount();
    let path = folder.at("samples");
    let any = AnyMap::from_fd(duplicate(&skel.maps.samples)).expect("it is a map");
    any.pin(&path).expect("the place is free");
    let id = any.info().id;
    // The last reader replaces the entries of the map, so each is dropped before the next one is
    // opened.
    let opens: [&dyn Fn() -> kamap_bpf::Result<PerfEventArray<Pair>>; 3] = [
        &|| PerfEventArray::from_skeleton(&skel.maps.samples, BUFFER, 1),
        &|| PerfEventArray::open_pinned(&path, BUFFER, 1),
        &|| PerfEventArray::open_id(id, BUFFER, 1),
    ];
    for (number, open) in (0..).zip(opens) {
        let mut samples = open().expect("it is a perf event array");
        assert_eq!(samples.as_fd().as_raw_fd(), samples.as_raw_fd());
        assert_eq!(send(&skel.progs.to_samples, number, 1, 16), 0);
        let sample = samples.read().expect("it is in order");
        assert_eq!(event(sample.expect("it waits")), (0, [number; 2]));
    }
    match PerfEventArray::<Pair>::open_name("samples", BUFFER, 1) {
        Ok(samples) => assert!(format!("{samples:?}").contains("\"samples\"")),
        Err(Error::Ambiguous { ids, .. }) => assert!(ids.contains(&id)),
        Err(error) => panic!("{error}"),
    }
}

/// Runs a reader in its own thread until it breaks, or until this thread stops it after it has read
/// `count` records. Returns the result of the last `run`.
#[track_caller]
fn stopped_after<T: Send>(
    count: u64,
    run: impl FnOnce(&Stop, mpsc::Sender<u64>) -> T + Send,
    send: impl FnOnce(),
) -> T {
    let stop = Stop::new().expect("there is a file descriptor");
    let (seen, sees) = mpsc::channel();
    thread::scope(|scope| {
        let reader = scope.spawn(|| run(&stop, seen));
        // The reader would never end if this thread panicked.
        let _stops = StopOnDrop(&stop);
        send();
        for number in 0..count {
            assert_eq!(sees.recv_timeout(BOUND), Ok(number));
        }
        stop.stop();
        assert!(stop.is_stopped());
        reader.join().expect("all were in order")
    })
}

struct StopOnDrop<'a>(&'a Stop);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[test]
fn a_reader_that_runs_gets_all_records_and_is_stopped_from_another_thread() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let mut ring = RingBuf::<Pair>::from_skeleton(&skel.maps.ring).expect("it is one");
    let map = duplicate(&skel.maps.samples);
    let mut samples = PerfEventArray::<Pair>::from_fd(map, BUFFER, 1).expect("it is one");

    let ended = stopped_after(
        10,
        |stop, seen| {
            ring.run(stop, |[number, _]| -> ControlFlow<()> {
                seen.send(number).expect("somebody listens");
                ControlFlow::Continue(())
            })
        },
        || assert_eq!(send(&skel.progs.to_ring, 0, 10, 16), 0),
    );
    assert_eq!(ended.expect("it is in order"), ControlFlow::Continue(()));

    let ended = stopped_after(
        10,
        |stop, seen| {
            samples.run(stop, |sample| -> ControlFlow<()> {
                seen.send(event(sample).1[0]).expect("somebody listens");
                ControlFlow::Continue(())
            })
        },
        || assert_eq!(send(&skel.progs.to_samples, 0, 10, 16), 0),
    );
    assert_eq!(ended.expect("it is in order"), ControlFlow::Continue(()));

    // Records from before the stop are passed on, even if `run` begins after it.
    let stop = Stop::new().expect("there is a file descriptor");
    assert!(!stop.is_stopped());
    send(&skel.progs.to_ring, 0, 5, 16);
    stop.clone().stop();
    let mut count = 0;
    let ended = ring.run(&stop, |_| -> ControlFlow<()> {
        count += 1;
        ControlFlow::Continue(())
    });
    assert!(ended.expect("it is in order").is_continue());
    assert_eq!(count, 5);
}

#[test]
fn a_reader_that_breaks_goes_on_behind_the_record() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let mut ring = RingBuf::<Pair>::from_skeleton(&skel.maps.ring).expect("it is one");
    let map = duplicate(&skel.maps.samples);
    let mut samples = PerfEventArray::<Pair>::from_fd(map, BUFFER, 1).expect("it is one");
    let stop = Stop::new().expect("there is a file descriptor");
    send(&skel.progs.to_ring, 0, 4, 16);
    send(&skel.progs.to_samples, 0, 4, 16);
    for expected in 0..4 {
        let broken = ring.run(&stop, |[number, _]| ControlFlow::Break(number));
        assert_eq!(broken.ok(), Some(ControlFlow::Break(expected)));
        let broken = samples.run(&stop, |sample| ControlFlow::Break(event(sample).1[0]));
        assert_eq!(broken.ok(), Some(ControlFlow::Break(expected)));
    }
    // It also continues after an error.
    for len in [8, 16] {
        send(&skel.progs.to_ring, 9, 1, len);
    }
    let broken = ring.run(&stop, |[number, _]| ControlFlow::Break(number));
    assert!(
        matches!(broken, Err(Error::RecordSize { .. })),
        "{broken:?}"
    );
    let broken = ring.run(&stop, |[number, _]| ControlFlow::Break(number));
    assert_eq!(broken.ok(), Some(ControlFlow::Break(9)));
}

#[test]
fn an_asynchronous_reader_is_woken_by_each_record() {
    const ROUNDS: u64 = 300;
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let ring = RingBuf::<Pair>::from_skeleton(&skel.maps.ring).expect("it is one");
    let map = duplicate(&skel.maps.samples);
    let samples = PerfEventArray::<Pair>::from_fd(map, BUFFER, 1).expect("it is one");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    let runtime = runtime.expect("it can be made");

    let (seen, sees) = mpsc::channel();
    let read = async move {
        // SAFETY: both have the same open file descriptor as long as they live.
        let (ring, samples) = unsafe { (AsyncFd::register(ring), AsyncFd::register(samples)) };
        let mut ring = ring.expect("it is in a runtime");
        let mut samples = samples.expect("it is in a runtime");
        for _ in 0..ROUNDS {
            let number = loop {
                if let Some([number, _]) = ring.get_mut().read().expect("it is in order") {
                    break number;
                }
                let ready = ring.readable_mut().await;
                ready.expect("it can be waited for").clear_ready();
            };
            seen.send(number).expect("it is waited for");
            let number = loop {
                if let Some(sample) = samples.get_mut().read().expect("it is in order") {
                    break event(sample).1[0];
                }
                let ready = samples.readable_mut().await;
                ready.expect("it can be waited for").clear_ready();
            };
            seen.send(number).expect("it is waited for");
        }
    };
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let bounded = async { tokio::time::timeout(2 * BOUND, read).await };
            runtime.block_on(bounded).expect("each record has woken it");
        });
        for round in 0..ROUNDS {
            send(&skel.progs.to_ring, round, 1, 16);
            assert_eq!(sees.recv_timeout(BOUND), Ok(round), "no wake-up");
            send(&skel.progs.to_samples, round, 1, 16);
            assert_eq!(sees.recv_timeout(BOUND), Ok(round), "no wake-up");
        }
        reader.join().expect("it does not panic");
    });
}

#[test]
fn a_map_of_another_kind_and_a_buffer_of_another_size_are_refused() {
    let mut storage = MaybeUninit::uninit();
    let skel = loaded(&mut storage);
    let error = RingBuf::<Pair>::from_fd(duplicate(&skel.maps.samples)).expect_err("it is none");
    assert!(
        matches!(&error, Error::WrongKind { map, .. } if map == "samples"),
        "{error}"
    );
    let ring = duplicate(&skel.maps.ring);
    let error = PerfEventArray::<Pair>::from_fd(ring, BUFFER, 1).expect_err("it is none");
    assert!(
        matches!(&error, Error::WrongKind { map, .. } if map == "ring"),
        "{error}"
    );
    let file = File::open("/dev/null").expect("it is there").into();
    let error = RingBuf::<[u8]>::from_fd(file).expect_err("it is no map");
    assert!(matches!(error, Error::NotAMap { .. }), "{error}");
    for bytes in [0, 2_048, 12_288] {
        let samples = duplicate(&skel.maps.samples);
        let error = PerfEventArray::<Pair>::from_fd(samples, bytes, 1).expect_err("it cannot be");
        assert_eq!(
            error.to_string(),
            format!(
                "the buffers of map `samples` cannot have {bytes} bytes: the size must be a \
                 power of two and at least 4096"
            )
        );
    }
}
