//! System calls on maps, and those with which the readers of rings wait. Together with `btf` and
//! `probe`, this is the only place that calls libbpf, and the only one that passes pointers to the
//! kernel.
//!
//! How many bytes the kernel reads or writes behind a pointer depends on the map, so functions with
//! pointers are unsafe: the size of keys and values must be that of the map.

use std::ffi::{CStr, c_int, c_long, c_ulong, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// The kernel's internal errno `ENOTSUPP`, which reaches user space by mistake. libc does not
/// define it.
pub(crate) const ENOTSUPP: i32 = 524;

/// Converts the result of libbpf, which returns the negative errno.
fn check(ret: i32) -> io::Result<i32> {
    if ret < 0 {
        Err(io::Error::from_raw_os_error(-ret))
    } else {
        Ok(ret)
    }
}

/// Converts the result of a call without a value.
fn no_value(ret: i32) -> io::Result<()> {
    check(ret).map(drop)
}

/// Takes ownership of the file descriptor that a call has just created.
fn owned(fd: io::Result<i32>) -> io::Result<OwnedFd> {
    // SAFETY: the call returned `fd`, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd?) })
}

/// The kernel's information about the map behind `fd`. An error if it is not a map.
pub(crate) fn info(fd: BorrowedFd<'_>) -> io::Result<libbpf_sys::bpf_map_info> {
    must_be_a_map(fd)?;
    let mut info = libbpf_sys::bpf_map_info::default();
    let mut len = size_of_val(&info) as u32;
    // SAFETY: `info` is plain data, and valid for writes of `len` bytes.
    check(unsafe { libbpf_sys::bpf_map_get_info_by_fd(fd.as_raw_fd(), &mut info, &mut len) })?;
    Ok(info)
}

/// The kernel also reports information about a program, in another struct. Reading a batch of no
/// entries has no effect, and fails like this for everything but maps.
fn must_be_a_map(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: it has room for no entries, so no pointer is used.
    match unsafe {
        lookup_batch(
            fd,
            false,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            0,
            0,
        )
    } {
        (_, Err(err)) if matches!(err.raw_os_error(), Some(libc::EINVAL | libc::EBADF)) => Err(err),
        // The other errors are those of maps: types without batches, and handles that may not read.
        _ => Ok(()),
    }
}

/// The map's name in the kernel.
pub(crate) fn name(info: &libbpf_sys::bpf_map_info) -> String {
    // Whether C's `char` is signed depends on the architecture.
    let name = info.name.map(|char| char.to_ne_bytes()[0]);
    let len = name.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&name[..len.unwrap_or(name.len())]).into_owned()
}

/// libbpf's name of an `enum bpf_map_type`, such as `hash`.
pub(crate) fn map_type_name(kind: u32) -> Option<&'static str> {
    // SAFETY: takes a number; returns null or a string constant.
    let name = unsafe { libbpf_sys::libbpf_bpf_map_type_str(kind) };
    if name.is_null() {
        return None;
    }
    // SAFETY: not null, so a string constant.
    unsafe { CStr::from_ptr(name) }.to_str().ok()
}

pub(crate) fn create(
    kind: u32,
    name: &CStr,
    (key_size, value_size): (u32, u32),
    max_entries: u32,
    options: &libbpf_sys::bpf_map_create_opts,
) -> io::Result<OwnedFd> {
    // SAFETY: `name` is a C string, and `options` states its size.
    owned(check(unsafe {
        libbpf_sys::bpf_map_create(
            kind,
            name.as_ptr(),
            key_size,
            value_size,
            max_entries,
            options,
        )
    }))
}

/// Opens the object that is pinned at `path`.
pub(crate) fn open_pinned(path: &CStr, flags: u32) -> io::Result<OwnedFd> {
    let options = libbpf_sys::bpf_obj_get_opts {
        sz: size_of::<libbpf_sys::bpf_obj_get_opts>() as _,
        file_flags: flags,
        ..Default::default()
    };
    // SAFETY: `path` is a C string, and `options` states its size.
    owned(check(unsafe {
        libbpf_sys::bpf_obj_get_opts(path.as_ptr(), &options)
    }))
}

pub(crate) fn open_id(id: u32, flags: u32) -> io::Result<OwnedFd> {
    let options = libbpf_sys::bpf_get_fd_by_id_opts {
        sz: size_of::<libbpf_sys::bpf_get_fd_by_id_opts>() as _,
        open_flags: flags,
        ..Default::default()
    };
    // SAFETY: `options` states its size.
    owned(check(unsafe {
        libbpf_sys::bpf_map_get_fd_by_id_opts(id, &options)
    }))
}

pub(crate) fn open_program_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes a number.
    owned(check(unsafe { libbpf_sys::bpf_prog_get_fd_by_id(id) }))
}

/// The smallest map ID that is greater than `id`.
pub(crate) fn next_id(id: u32) -> io::Result<u32> {
    let mut next = 0;
    // SAFETY: `next` is valid for writing.
    check(unsafe { libbpf_sys::bpf_map_get_next_id(id, &mut next) })?;
    Ok(next)
}

pub(crate) fn pin(fd: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    // SAFETY: `path` is a C string.
    no_value(unsafe { libbpf_sys::bpf_obj_pin(fd.as_raw_fd(), path.as_ptr()) })
}

pub(crate) fn freeze(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: only takes a file descriptor.
    no_value(unsafe { libbpf_sys::bpf_map_freeze(fd.as_raw_fd()) })
}

/// How `fd` was opened: `O_RDONLY`, `O_WRONLY` or `O_RDWR`.
pub(crate) fn access_mode(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: only takes a file descriptor.
    match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) } {
        -1 => Err(io::Error::last_os_error()),
        flags => Ok(flags & libc::O_ACCMODE),
    }
}

/// Whether `path` is in a BPF file system.
pub(crate) fn is_bpf_file_system(path: &CStr) -> io::Result<bool> {
    /// linux/magic.h
    const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
    let mut found = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: a C string, and memory for the result.
    checked(unsafe { libc::statfs(path.as_ptr(), found.as_mut_ptr()) })?;
    // SAFETY: the call has written it.
    let found = unsafe { found.assume_init() };
    Ok(found.f_type as u64 == BPF_FS_MAGIC)
}

/// # Safety
///
/// `key` must be valid for reads of a key, `value` for reads and writes of a value.
pub(crate) unsafe fn lookup(
    fd: BorrowedFd<'_>,
    key: *const c_void,
    value: *mut c_void,
    flags: u64,
) -> io::Result<()> {
    // SAFETY: the caller guarantees that the pointers are valid.
    no_value(unsafe { libbpf_sys::bpf_map_lookup_elem_flags(fd.as_raw_fd(), key, value, flags) })
}

/// Looks up and deletes.
///
/// # Safety
///
/// As for [`lookup`].
pub(crate) unsafe fn take(
    fd: BorrowedFd<'_>,
    key: *const c_void,
    value: *mut c_void,
    flags: u64,
) -> io::Result<()> {
    // SAFETY: the caller guarantees that the pointers are valid.
    no_value(unsafe {
        libbpf_sys::bpf_map_lookup_and_delete_elem_flags(fd.as_raw_fd(), key, value, flags)
    })
}

/// # Safety
///
/// `key` must be valid for reads of a key, `value` for reads of a value.
pub(crate) unsafe fn update(
    fd: BorrowedFd<'_>,
    key: *const c_void,
    value: *const c_void,
    flags: u64,
) -> io::Result<()> {
    // SAFETY: the caller guarantees that the pointers are valid.
    no_value(unsafe { libbpf_sys::bpf_map_update_elem(fd.as_raw_fd(), key, value, flags) })
}

/// # Safety
///
/// `key` must be valid for reads of a key.
pub(crate) unsafe fn delete(fd: BorrowedFd<'_>, key: *const c_void) -> io::Result<()> {
    // SAFETY: the caller guarantees that the pointer is valid.
    no_value(unsafe { libbpf_sys::bpf_map_delete_elem(fd.as_raw_fd(), key) })
}

/// # Safety
///
/// `key` must be null or valid for reads of a key, `next` must be valid for writes of one.
pub(crate) unsafe fn next_key(
    fd: BorrowedFd<'_>,
    key: *const c_void,
    next: *mut c_void,
) -> io::Result<()> {
    // SAFETY: the caller guarantees that the pointers are valid.
    no_value(unsafe { libbpf_sys::bpf_map_get_next_key(fd.as_raw_fd(), key, next) })
}

fn batch_options(flags: u64) -> libbpf_sys::bpf_map_batch_opts {
    libbpf_sys::bpf_map_batch_opts {
        sz: size_of::<libbpf_sys::bpf_map_batch_opts>() as _,
        elem_flags: flags,
        flags: 0,
    }
}

/// One step of a batch walk, from the cursor `from` (null: the beginning) to `to`. With `delete`,
/// it deletes what it reads. Returns how many entries the kernel reports as written. It can report
/// some even if it failed, and reports `room` if it failed before it began.
///
/// # Safety
///
/// `keys` and `values` must be valid for writes of `room` of them, `from` for reads and `to` for
/// writes of a cursor. A cursor is a `u32` for the hash family, whatever its keys are, and a key
/// otherwise.
#[expect(clippy::too_many_arguments, reason = "as many as the system call has")]
pub(crate) unsafe fn lookup_batch(
    fd: BorrowedFd<'_>,
    delete: bool,
    from: *mut c_void,
    to: *mut c_void,
    keys: *mut c_void,
    values: *mut c_void,
    room: u32,
    flags: u64,
) -> (u32, io::Result<()>) {
    let mut count = room;
    let options = batch_options(flags);
    let call = if delete {
        libbpf_sys::bpf_map_lookup_and_delete_batch
    } else {
        libbpf_sys::bpf_map_lookup_batch
    };
    // SAFETY: the caller guarantees that its pointers are valid; the others are to local variables.
    let ret = unsafe { call(fd.as_raw_fd(), from, to, keys, values, &mut count, &options) };
    (count.min(room), no_value(ret))
}

/// Returns how many entries were written before the first that failed.
///
/// # Safety
///
/// `keys` and `values` must be valid for reads of `count` of them.
pub(crate) unsafe fn update_batch(
    fd: BorrowedFd<'_>,
    keys: *const c_void,
    values: *const c_void,
    count: u32,
    flags: u64,
) -> (u32, io::Result<()>) {
    let mut done = count;
    let options = batch_options(flags);
    // SAFETY: the caller guarantees that its pointers are valid; the others are to local variables.
    let ret = unsafe {
        libbpf_sys::bpf_map_update_batch(fd.as_raw_fd(), keys, values, &mut done, &options)
    };
    counted(count, done, no_value(ret))
}

/// Returns how many keys were deleted before the first that failed.
///
/// # Safety
///
/// `keys` must be valid for reads of `count` keys.
pub(crate) unsafe fn delete_batch(
    fd: BorrowedFd<'_>,
    keys: *const c_void,
    count: u32,
) -> (u32, io::Result<()>) {
    let mut done = count;
    let options = batch_options(0);
    // SAFETY: the caller guarantees that the pointer is valid; the others are to local variables.
    let ret =
        unsafe { libbpf_sys::bpf_map_delete_batch(fd.as_raw_fd(), keys, &mut done, &options) };
    counted(count, done, no_value(ret))
}

/// How many were done. A call that is rejected at once leaves the count unchanged, so a count of
/// all means none, because the one that failed never counts. After `EFAULT` the count is undefined.
fn counted(count: u32, done: u32, result: io::Result<()>) -> (u32, io::Result<()>) {
    let done = match &result {
        Ok(()) => done,
        Err(err) if err.raw_os_error() == Some(libc::EFAULT) || done >= count => 0,
        Err(_) => done,
    };
    (done, result)
}

/// Waits until one of `fds` is readable or `timeout` has passed (`None`: without a limit). Returns
/// whether one is readable. A signal ends the wait.
pub(crate) fn wait<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos() as c_long,
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `polled` has `N` entries that are valid for reads and writes, `timeout` is null or
    // valid for reads, and the signal mask is null.
    let ready =
        unsafe { libc::ppoll(polled.as_mut_ptr(), N as libc::nfds_t, timeout, ptr::null()) };
    match checked(ready) {
        Ok(ready) => Ok(ready > 0),
        Err(err) if err.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(err) => Err(err),
    }
}

/// A file descriptor that becomes readable when [`signal`] is called.
pub(crate) fn event() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers and returns one.
    owned(checked(unsafe {
        libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)
    }))
}

/// Makes an [`event`] readable. It stays readable, because nothing reads it.
pub(crate) fn signal(event: BorrowedFd<'_>) {
    let one = 1_u64;
    // It only fails if the counter would overflow, and then the event is readable already.
    // SAFETY: `one` is valid for reads of eight bytes.
    unsafe {
        libc::write(
            event.as_raw_fd(),
            ptr::from_ref(&one).cast(),
            size_of_val(&one),
        )
    };
}

/// Opens a software event (`PERF_COUNT_SW_…`) of `cpu`. Its reader is woken after every
/// `wakeup_events` samples.
pub(crate) fn open_perf_event(cpu: u32, counts: u32, wakeup_events: u32) -> io::Result<OwnedFd> {
    let mut attr = libbpf_sys::perf_event_attr {
        type_: libbpf_sys::PERF_TYPE_SOFTWARE,
        size: size_of::<libbpf_sys::perf_event_attr>() as u32,
        config: u64::from(counts),
        sample_type: u64::from(libbpf_sys::PERF_SAMPLE_RAW),
        ..libbpf_sys::perf_event_attr::default()
    };
    attr.__bindgen_anon_2.wakeup_events = wakeup_events;
    let every_process: libc::pid_t = -1;
    let no_group: c_int = -1;
    let flags = c_ulong::from(libbpf_sys::PERF_FLAG_FD_CLOEXEC);
    // SAFETY: `attr` is valid for reads, and states its size.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            ptr::from_ref(&attr),
            every_process,
            cpu as c_int,
            no_group,
            flags,
        )
    };
    owned(checked(fd as c_int))
}

/// A file descriptor that is readable while one of those added to it is.
pub(crate) fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: takes a number and returns one.
    owned(checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }))
}

pub(crate) fn epoll_add(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: 0,
    };
    // SAFETY: `event` is valid for reads.
    checked(unsafe {
        libc::epoll_ctl(
            epoll.as_raw_fd(),
            libc::EPOLL_CTL_ADD,
            fd.as_raw_fd(),
            &mut event,
        )
    })?;
    Ok(())
}

/// Converts the result of the C library, which returns -1 and sets errno.
fn checked(ret: c_int) -> io::Result<c_int> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_the_kernel_left_as_it_was_is_none() {
        let failed = |errno| Err(io::Error::from_raw_os_error(errno));
        assert_eq!(counted(8, 8, Ok(())).0, 8);
        assert_eq!(counted(8, 3, failed(libc::E2BIG)).0, 3);
        assert_eq!(counted(8, 8, failed(libc::EINVAL)).0, 0);
        assert_eq!(counted(8, 3, failed(libc::EFAULT)).0, 0);
    }
}
