//! Changes its own arguments, or the memory in which they are stored. It then prints a line, and
//! waits until its standard input is closed. The first argument selects what it does:
//!
//! - `title`: overwrites the arguments and part of the environment with the variable `TITLE`.
//! - `beyond`: has 4 GiB and 10 bytes of arguments, of which only the first page exists. For each line
//!   it forks a child that exits, waits for it, and prints the PID that it had.
//! - `userfault`: the page with the arguments is never provided.
//! - `file`: the arguments are in the file that is the second argument.
//! - `after`: the same, except for their first 100 bytes.
//! - `lock`: while nobody answers for the file that is the second argument, one thread holds the lock of
//!   the address space, and others wait for it.
//! - `serve`: mounts a FUSE file system on the folder that is the second argument. Reading its only file,
//!   `file`, waits until this process ends.
//!
//! From `userfault` to `lock` it also gives up root.

use std::ffi::{CString, c_void};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::{ptr, thread};

use procfs::process::Process;

const PAGE: usize = 4096;

/// The user of a process that makes others wait.
const UID: u32 = 4711;

fn check(result: i64) {
    assert!(result >= 0, "{}", io::Error::last_os_error());
}

/// Maps a page at an address after which `PR_SET_MM` accepts arguments of any length.
fn map(file: Option<&File>) -> *mut u8 {
    const LOW: usize = 0x1000_0000;
    let (flags, fd) = match file {
        Some(file) => (libc::MAP_PRIVATE, file.as_raw_fd()),
        None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
    };
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let (at, flags) = match file {
        Some(_) => (LOW + PAGE, flags),
        None => (LOW, flags),
    };
    // SAFETY: a new mapping, which replaces none.
    let page = unsafe {
        libc::mmap(
            at as *mut c_void,
            PAGE,
            protection,
            flags | libc::MAP_FIXED_NOREPLACE,
            fd,
            0,
        )
    };
    assert!(page != libc::MAP_FAILED, "{}", io::Error::last_os_error());
    page.cast()
}

/// `struct prctl_mm_map`
#[repr(C)]
struct MemoryMap {
    addresses: [u64; 11],
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Declares where the arguments are: by the call that needs no privilege or, if the kernel does not
/// have it, by the one for root.
fn set_arguments(start: u64, len: u64) {
    const PR_SET_MM_MAP: i32 = 14;
    let stat = Process::myself().and_then(|process| process.stat());
    let stat = stat.expect("there is /proc");
    let known = |address: Option<u64>| address.expect("it is this process's own");
    // SAFETY: it only asks where the heap ends.
    let heap_end = unsafe { libc::sbrk(0) } as u64;
    let map = MemoryMap {
        addresses: [
            stat.startcode,
            stat.endcode,
            known(stat.start_data),
            known(stat.end_data),
            known(stat.start_brk),
            heap_end,
            stat.startstack,
            start,
            start + len,
            known(stat.env_start),
            known(stat.env_end),
        ],
        auxv: 0,
        auxv_size: 0,
        exe_fd: u32::MAX,
    };
    let set = |what: i32, value: u64, size: usize| {
        // SAFETY: it is an address of this process, or `map`, which is valid for reading.
        unsafe { libc::prctl(libc::PR_SET_MM, what, value, size, 0) }
    };
    if set(PR_SET_MM_MAP, (&raw const map) as u64, size_of_val(&map)) == 0 {
        return;
    }
    check(set(libc::PR_SET_MM_ARG_START, start, 0).into());
    check(set(libc::PR_SET_MM_ARG_END, start + len, 0).into());
}

fn write_title(title: &str) {
    let stat = Process::myself().and_then(|process| process.stat());
    let stat = stat.expect("there is /proc");
    let start = stat.arg_start.expect("it is this process's own") as usize;
    let args_end = stat.arg_end.expect("it is this process's own") as usize;
    let end = stat.env_end.expect("it is this process's own") as usize;
    assert!(
        (args_end - start..end - start).contains(&title.len()),
        "it ends in the environment"
    );
    // SAFETY: arguments and environment lie there, one behind the other, and nothing in this
    // process reads them from now on.
    unsafe {
        ptr::write_bytes(start as *mut u8, 0, end - start);
        ptr::copy_nonoverlapping(title.as_ptr(), start as *mut u8, title.len());
    }
}

/// A page that is never provided.
fn never_provided() -> *mut u8 {
    const UFFDIO_API: u64 = 0xc018_aa3f;
    const UFFDIO_REGISTER: u64 = 0xc020_aa00;
    const MISSING: u64 = 1;
    let page = map(None);
    // SAFETY: it takes flags.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) };
    check(fd);
    let mut api = [0xaa_u64, 0, 0];
    let mut range = [page as u64, PAGE as u64, MISSING, 0];
    // SAFETY: both are as long as the kernel reads and writes.
    unsafe {
        check(libc::ioctl(fd as i32, UFFDIO_API, &raw mut api).into());
        check(libc::ioctl(fd as i32, UFFDIO_REGISTER, &raw mut range).into());
    }
    page
}

/// A thread reads `page` through /proc and holds the lock of the address space meanwhile. Others
/// wait to write.
fn hold_lock(page: *mut u8, memory: File) {
    let at = page as u64;
    // A thread cannot be created while others wait for the lock.
    let started = std::sync::Arc::new(std::sync::Barrier::new(3));
    let (of_reader, of_writer) = (started.clone(), started.clone());
    thread::spawn(move || {
        of_reader.wait();
        let _ = memory.read_at(&mut [0], at);
    });
    thread::spawn(move || {
        of_writer.wait();
        loop {
            // SAFETY: a mapping of its own that nobody knows of.
            unsafe {
                let page = libc::mmap(
                    ptr::null_mut(),
                    PAGE,
                    libc::PROT_READ,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                );
                libc::munmap(page, PAGE);
            }
        }
    });
    println!();
    started.wait();
}

fn give_up_root() {
    // SAFETY: both take numbers.
    unsafe {
        check(libc::setgid(UID).into());
        check(libc::setuid(UID).into());
    }
}

/// Forks a child that exits for each line.
fn fork_for_each_line() {
    for line in io::stdin().lines() {
        line.expect("standard input can be read");
        // SAFETY: this program has one thread.
        let pid = unsafe { libc::fork() };
        check(pid.into());
        if pid == 0 {
            // SAFETY: it takes a number.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: it asks for no status.
        unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
        println!("{pid}");
    }
}

/// A file system with one file that cannot be read.
mod fuse {
    use super::{CString, File, Read, Write, check, io};
    use std::os::fd::AsRawFd;

    const ROOT: u64 = 1;
    const FILE: u64 = 2;

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn halves(halves: &[u32]) -> Vec<u8> {
        halves.iter().flat_map(|half| half.to_ne_bytes()).collect()
    }

    /// `struct fuse_attr`
    fn attributes(node: u64) -> Vec<u8> {
        let (mode, size) = match node {
            ROOT => (0o040_755, 0),
            _ => (0o100_644, 1 << 20),
        };
        let numbers = words(&[node, size, size / 512, 0, 0, 0]);
        [numbers, halves(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0])].concat()
    }

    pub(super) fn mount(folder: &str) -> File {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.expect("the kernel has FUSE");
        let folder = CString::new(folder).expect("it is a path");
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
            device.as_raw_fd()
        );
        let options = CString::new(options).expect("there is no NUL");
        // SAFETY: all are terminated.
        let mounted = unsafe {
            libc::mount(
                c"never".as_ptr(),
                folder.as_ptr(),
                c"fuse".as_ptr(),
                libc::MS_NOSUID | libc::MS_NODEV,
                options.as_ptr().cast(),
            )
        };
        check(mounted.into());
        device
    }

    pub(super) fn serve(mut device: &File) {
        let mut request = vec![0; 1 << 18];
        loop {
            let len = match device.read(&mut request) {
                Ok(len) => len,
                Err(err) if err.raw_os_error() == Some(libc::ENOENT) => continue,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                // It was unmounted.
                Err(_) => return,
            };
            assert!(len >= 40);
            let number = |at: usize| {
                let bytes = request[at..at + 4].try_into().expect("four");
                u32::from_ne_bytes(bytes)
            };
            let operation = number(4);
            let node = u64::from(number(16));
            let answer = match operation {
                // FORGET, READ, INTERRUPT, BATCH_FORGET
                2 | 15 | 36 | 42 => continue,
                // LOOKUP
                1 if node == ROOT && request[40..].starts_with(b"file\0") => {
                    [words(&[FILE, 0, 3600, 3600, 0]), attributes(FILE)].concat()
                }
                // GETATTR
                3 => [words(&[3600, 0]), attributes(node)].concat(),
                // OPEN, OPENDIR
                14 | 27 => words(&[0, 0]),
                // RELEASE, RELEASEDIR
                18 | 29 => Vec::new(),
                // INIT
                26 => {
                    let mut answer = halves(&[7, 19, 0, 0, 0, 4096]);
                    answer.resize(64, 0);
                    answer
                }
                _ => {
                    let error = if operation == 1 {
                        libc::ENOENT
                    } else {
                        libc::ENOSYS
                    };
                    let header = [
                        halves(&[16, (-error).cast_unsigned()]),
                        request[8..16].to_vec(),
                    ];
                    let _ = device.write(&header.concat());
                    continue;
                }
            };
            let header = halves(&[16 + answer.len() as u32, 0]);
            let answer = [header, request[8..16].to_vec(), answer].concat();
            // The process that asked may have been killed.
            let _ = device.write(&answer);
        }
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [how, rest @ ..] = &arguments[..] else {
        panic!("it is told how");
    };
    let open = || {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_CLOEXEC)
            .open(&rest[0]);
        file.expect("it can be opened")
    };
    match &**how {
        "title" => write_title(&std::env::var("TITLE").expect("it is told the title")),
        "beyond" => {
            let page = map(None);
            // SAFETY: it has just been mapped.
            unsafe { ptr::write_bytes(page, b'x', PAGE) };
            set_arguments(page as u64, (1 << 32) + 10);
            println!();
            fork_for_each_line();
            return;
        }
        "userfault" => {
            set_arguments(never_provided() as u64, 100);
            give_up_root();
        }
        "file" => {
            set_arguments(map(Some(&open())) as u64, 100);
            give_up_root();
        }
        "after" => {
            let page = map(None);
            // SAFETY: it has just been mapped.
            unsafe { ptr::write_bytes(page, b'x', PAGE) };
            map(Some(&open()));
            set_arguments(page as u64 + PAGE as u64 - 100, 200);
            give_up_root();
        }
        "lock" => {
            let memory = File::open("/proc/self/mem").expect("it is this process's own");
            let page = map(Some(&open()));
            give_up_root();
            hold_lock(page, memory);
            // Wait until the process that started this one has closed the pipe, without using
            // memory.
            // SAFETY: there is room for the one byte.
            unsafe { while libc::read(0, [0_u8].as_mut_ptr().cast(), 1) > 0 {} };
            return;
        }
        "serve" => {
            let device = fuse::mount(&rest[0]);
            let folder = CString::new(&*rest[0]).expect("it is a path");
            // Nothing is left when the process that started this one ends.
            thread::spawn(move || {
                let _ = io::stdin().read_to_end(&mut Vec::new());
                // SAFETY: it is terminated.
                unsafe { libc::umount2(folder.as_ptr(), libc::MNT_DETACH) };
                std::process::exit(0);
            });
            println!();
            fuse::serve(&device);
            return;
        }
        other => panic!("unknown argument {other:?}"),
    }
    println!();
    io::stdin()
        .read_to_end(&mut Vec::new())
        .expect("standard input can be read");
}
