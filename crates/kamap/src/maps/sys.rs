//! The system calls on maps, and those with which their readers wait. The only place
//! of `maps` that calls libbpf, and the only one that hands pointers to the kernel.

use std::ffi::{CStr, c_int, c_long, c_ulong};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use super::MapData;

/// libbpf returns the negative errno.
fn check(ret: i32) -> io::Result<i32> {
    if ret < 0 {
        Err(io::Error::from_raw_os_error(-ret))
    } else {
        Ok(ret)
    }
}

pub(super) fn info(fd: BorrowedFd<'_>) -> io::Result<libbpf_sys::bpf_map_info> {
    let mut info = libbpf_sys::bpf_map_info::default();
    let mut len = size_of_val(&info) as u32;
    // SAFETY: `info` is valid for writes of `len` bytes, and plain data.
    check(unsafe { libbpf_sys::bpf_map_get_info_by_fd(fd.as_raw_fd(), &mut info, &mut len) })?;
    Ok(info)
}

/// Name of the map, as the kernel has it.
pub(super) fn name(info: &libbpf_sys::bpf_map_info) -> String {
    let name = info.name.map(i8::cast_unsigned);
    let len = name.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&name[..len.unwrap_or(name.len())]).into_owned()
}

pub(super) fn create<K: MapData, V: MapData>(
    kind: u32,
    name: &CStr,
    max_entries: u32,
) -> io::Result<OwnedFd> {
    // SAFETY: `name` is a C string; no options are passed.
    let fd = check(unsafe {
        libbpf_sys::bpf_map_create(
            kind,
            name.as_ptr(),
            size_of::<K>() as u32,
            size_of::<V>() as u32,
            max_entries,
            ptr::null(),
        )
    })?;
    // SAFETY: the call has just returned `fd`; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `fd` must be of a map with keys of the size of `K` and, as seen by one
/// system call, values of the size of `V`; as must be for the calls below.
pub(super) unsafe fn lookup<K: MapData, V: MapData>(fd: BorrowedFd<'_>, key: &K) -> io::Result<V> {
    let mut value = MaybeUninit::<V>::uninit();
    // SAFETY: the kernel reads one key and writes one value, of the sizes that
    // the caller vouches for.
    check(unsafe {
        libbpf_sys::bpf_map_lookup_elem(
            fd.as_raw_fd(),
            ptr::from_ref(key).cast(),
            value.as_mut_ptr().cast(),
        )
    })?;
    // SAFETY: the call succeeded, so the kernel wrote the whole value, and any
    // bytes are a valid `V` (`MapData`).
    Ok(unsafe { value.assume_init() })
}

pub(super) unsafe fn update<K: MapData, V: MapData>(
    fd: BorrowedFd<'_>,
    key: &K,
    value: &V,
    flags: u64,
) -> io::Result<()> {
    // SAFETY: the kernel reads one key and one value, of the sizes that the
    // caller vouches for.
    check(unsafe {
        libbpf_sys::bpf_map_update_elem(
            fd.as_raw_fd(),
            ptr::from_ref(key).cast(),
            ptr::from_ref(value).cast(),
            flags,
        )
    })?;
    Ok(())
}

pub(super) unsafe fn delete<K: MapData>(fd: BorrowedFd<'_>, key: &K) -> io::Result<()> {
    // SAFETY: the kernel reads one key, of the size that the caller vouches for.
    check(unsafe { libbpf_sys::bpf_map_delete_elem(fd.as_raw_fd(), ptr::from_ref(key).cast()) })?;
    Ok(())
}

/// The values that all possible CPUs have for `key`. `fd` must be of a per-CPU
/// map.
pub(super) unsafe fn lookup_per_cpu<K: MapData, V: MapData>(
    fd: BorrowedFd<'_>,
    key: &K,
) -> io::Result<Vec<V>> {
    // SAFETY: reads a file of sysfs, once.
    let cpus = check(unsafe { libbpf_sys::libbpf_num_possible_cpus() })? as usize;
    let stride = size_of::<V>().next_multiple_of(8);
    let mut bytes = vec![0_u8; cpus * stride];
    // SAFETY: the kernel reads one key, of the size that the caller vouches for,
    // and writes for each possible CPU a value, rounded up to 8 bytes.
    check(unsafe {
        libbpf_sys::bpf_map_lookup_elem(
            fd.as_raw_fd(),
            ptr::from_ref(key).cast(),
            bytes.as_mut_ptr().cast(),
        )
    })?;
    let values = bytes.chunks_exact(stride);
    // SAFETY: a chunk is at least as large as a `V`, and any bytes are one.
    Ok(values
        .map(|chunk| unsafe { chunk.as_ptr().cast::<V>().read_unaligned() })
        .collect())
}

/// One step of a batch walk, from `from` (`None`: the beginning) to `to`.
/// Returns how many entries the kernel wrote to the front of `keys` and
/// `values`, whatever it said otherwise.
pub(super) unsafe fn lookup_batch<K: MapData, V: MapData>(
    fd: BorrowedFd<'_>,
    from: Option<u64>,
    to: &mut u64,
    keys: &mut [MaybeUninit<K>],
    values: &mut [MaybeUninit<V>],
) -> (u32, io::Result<()>) {
    let mut from = from;
    let from = from.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    let room = keys.len().min(values.len()) as u32;
    let mut count = room;
    // SAFETY: the kernel writes at most `count` keys and values, of the sizes
    // that the caller vouches for. A hash map's cursor is a u32, whatever its
    // keys are.
    let ret = check(unsafe {
        libbpf_sys::bpf_map_lookup_batch(
            fd.as_raw_fd(),
            from.cast(),
            ptr::from_mut(to).cast(),
            keys.as_mut_ptr().cast(),
            values.as_mut_ptr().cast(),
            &mut count,
            ptr::null(),
        )
    });
    (count.min(room), ret.map(drop))
}

/// Waits until `fd` can be read or `timeout` is over; returns whether it can. A signal
/// ends the wait.
pub(super) fn wait(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos() as c_long,
    };
    // SAFETY: `poll` is one entry, valid for reading and writing, `timeout` is valid for
    // reading, and no set of signals is passed.
    let ready = unsafe { libc::ppoll(&mut poll, 1, &timeout, ptr::null()) };
    match checked(ready) {
        Ok(ready) => Ok(ready > 0),
        Err(err) if err.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(err) => Err(err),
    }
}

/// Opens the event that takes what programs send on `cpu`. Whoever waits for it is
/// woken by each `wakeup_events`th sample.
pub(super) fn open_perf_event(cpu: u32, wakeup_events: u32) -> io::Result<OwnedFd> {
    let mut attr = libbpf_sys::perf_event_attr {
        type_: libbpf_sys::PERF_TYPE_SOFTWARE,
        size: size_of::<libbpf_sys::perf_event_attr>() as u32,
        config: u64::from(libbpf_sys::PERF_COUNT_SW_BPF_OUTPUT),
        sample_type: u64::from(libbpf_sys::PERF_SAMPLE_RAW),
        ..libbpf_sys::perf_event_attr::default()
    };
    attr.__bindgen_anon_2.wakeup_events = wakeup_events;
    let every_process: libc::pid_t = -1;
    let no_group: c_int = -1;
    let flags = c_ulong::from(libbpf_sys::PERF_FLAG_FD_CLOEXEC);
    // SAFETY: `attr` is valid for reading, and tells its size.
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
    let fd = checked(fd as c_int)?;
    // SAFETY: the call has just returned `fd`; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A file descriptor that can be read when one of those that are added to it can.
pub(super) fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: takes a number and returns one.
    let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: the call has just returned `fd`; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn epoll_add(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: 0,
    };
    // SAFETY: `event` is valid for reading.
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

/// The C library returns -1, and sets errno.
fn checked(ret: c_int) -> io::Result<c_int> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// The CPUs that are online.
pub(super) fn online_cpus() -> io::Result<Vec<u32>> {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    cpus(&list).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, list))
}

/// The CPUs of a list such as "0-3,5".
fn cpus(list: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<u32>().ok()?..=last.parse().ok()?);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cpus_is_read() {
        assert_eq!(cpus("0\n"), Some(vec![0]));
        assert_eq!(cpus("0-3,5,8-9\n"), Some(vec![0, 1, 2, 3, 5, 8, 9]));
        assert_eq!(cpus("0-"), None);
    }
}
