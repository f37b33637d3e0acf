//! What happens when memory runs out, or a limit of this process is reached: one line of error and an
//! exit status, as with any other error.
//!
//! Rust itself would abort and print lines for a developer. Printing a backtrace needs memory: without
//! it, it waits for a lock that it holds itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use anyhow::bail;

/// How much stack each command needs, in bytes. A build without optimisation needs the most.
const STACK: u64 = 512 << 10;

/// The allocator of the whole program. An allocation that fails ends the program.
#[global_allocator]
static ALLOCATOR: OrExit = OrExit;

/// Whether there is a screen to leave.
static ON_SCREEN: AtomicBool = AtomicBool::new(false);

/// Whether the terminal on standard input hands out keys at once, and does not show them.
static HAS_KEYS: AtomicBool = AtomicBool::new(false);

/// The command that `kamap run` waits for, or 0.
static COMMAND: AtomicI32 = AtomicI32::new(0);

/// The exit status, once there is no command.
static STATUS: AtomicI32 = AtomicI32::new(1);

/// Fails if the stack cannot grow as far as it will.
pub(crate) fn check_stack() -> anyhow::Result<()> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: there is room for what it writes.
    if unsafe { libc::getrlimit(libc::RLIMIT_STACK, limit.as_mut_ptr()) } != 0 {
        return Ok(());
    }
    // SAFETY: it has not failed, so it has written it.
    let bytes = unsafe { limit.assume_init() }.rlim_cur;
    if bytes < STACK {
        bail!(
            "the stack may have {} KiB only, {} are needed: raise the limit (`ulimit -s`)",
            bytes >> 10,
            STACK >> 10
        );
    }
    if has_address_space() {
        grow_stack();
        return Ok(());
    }
    bail!("out of memory: raise the limit (`ulimit -v`)")
}

/// Whether there is address space for the stack to grow. Without it the kernel kills the process when
/// the stack grows, and there is no error to handle.
fn has_address_space() -> bool {
    // SAFETY: maps memory at an address that is not in use, and unmaps it again.
    unsafe {
        let memory = libc::mmap(
            std::ptr::null_mut(),
            STACK as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        memory != libc::MAP_FAILED && libc::munmap(memory, STACK as usize) == 0
    }
}

/// Uses as much stack as will be needed, before something else uses that memory.
#[inline(never)]
fn grow_stack() {
    const MARGIN: usize = 64 << 10;
    std::hint::black_box(&mut [0_u8; STACK as usize - MARGIN]);
}

/// Notes that there is a screen to leave from now on.
pub(crate) fn set_on_screen() {
    ON_SCREEN.store(true, Ordering::Relaxed);
}

/// Notes whether the terminal on standard input hands out keys at once, and does not show them.
pub(crate) fn set_keys(keys: bool) {
    HAS_KEYS.store(keys, Ordering::Relaxed);
}

/// Notes that there is a command to wait for from now on.
pub(crate) fn command_started(pid: u32) {
    COMMAND.store(pid.cast_signed(), Ordering::Relaxed);
}

/// Notes that the command was waited for. If memory runs out later, kamap exits with `status`, or with 1
/// if that is 0.
pub(crate) fn command_ended(status: u8) {
    STATUS.store(i32::from(status).max(1), Ordering::Relaxed);
    COMMAND.store(0, Ordering::Relaxed);
}

struct OrExit;

// SAFETY: `System` does all the work; where it returns null, this does not return.
unsafe impl GlobalAlloc for OrExit {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the same terms.
        or_exit(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the same terms.
        or_exit(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps to the same terms, and all memory is that of `System`.
        or_exit(unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the same terms, and all memory is that of `System`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[inline]
fn or_exit(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        out_of_memory();
    }
    memory
}

/// Prints an error and exits. Nothing here allocates.
#[cold]
fn out_of_memory() -> ! {
    const LEAVE_SCREEN: &[u8] = b"\x1b[?7h\x1b[?25h\x1b[?1049l";
    if ON_SCREEN.load(Ordering::Relaxed) {
        write(libc::STDOUT_FILENO, LEAVE_SCREEN);
    }
    if HAS_KEYS.load(Ordering::Relaxed) {
        hand_out_lines();
    }
    let command = COMMAND.load(Ordering::Relaxed);
    if command == 0 {
        write(
            libc::STDERR_FILENO,
            b"kamap: out of memory: raise the limit (`ulimit -v`, `ulimit -d`), or free some\n",
        );
    } else {
        write(
            libc::STDERR_FILENO,
            b"kamap: out of memory: there will be no report, only the command is waited for\n",
        );
        wait_for(command);
    }
    // SAFETY: ends the process, which is all that it does.
    unsafe { libc::_exit(STATUS.load(Ordering::Relaxed)) }
}

/// Makes the terminal on standard input hand out lines again, and show them.
fn hand_out_lines() {
    let mut settings = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: there is room for what it writes.
    if unsafe { libc::tcgetattr(libc::STDIN_FILENO, settings.as_mut_ptr()) } == 0 {
        // SAFETY: it has not failed, so it has written them.
        let mut settings = unsafe { settings.assume_init() };
        settings.c_lflag |= libc::ICANON | libc::ECHO;
        // SAFETY: it reads the settings, which are valid.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw const settings) };
    }
}

/// Writes `bytes`. If that fails, there is no other place to report it.
fn write(fd: i32, bytes: &[u8]) {
    // SAFETY: `bytes` is valid for reads of its length.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
}

/// Waits until `command` ends, and takes over its status. Signals that should end it are passed on.
fn wait_for(command: i32) {
    extern "C" fn hand_on(signal: i32) {
        // SAFETY: takes numbers only. This process no longer reaps the command, so the PID stays its
        // own.
        unsafe { libc::kill(COMMAND.load(Ordering::Relaxed), signal) };
    }
    for signal in [libc::SIGTERM, libc::SIGHUP] {
        if !super::signals::is_ignored(signal) {
            let handler: extern "C" fn(i32) = hand_on;
            // SAFETY: the handler only calls kill(2), which a handler may, and has the right type.
            unsafe { libc::signal(signal, handler as libc::sighandler_t) };
        }
    }
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOWAIT;
    loop {
        // SAFETY: there is room for what it writes.
        let ret = unsafe { libc::waitid(libc::P_PID, command as u32, info.as_mut_ptr(), flags) };
        if ret == 0 {
            break;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
    // SAFETY: waitid(2) succeeded, so it wrote `info`, about a child.
    let (code, status) = unsafe {
        let info = info.assume_init();
        (info.si_code, info.si_status())
    };
    let status = match code {
        libc::CLD_EXITED => status,
        _ => 128 + status,
    };
    STATUS.store(status.max(1), Ordering::Relaxed);
}
