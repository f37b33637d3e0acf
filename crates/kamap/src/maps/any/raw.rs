//! The system calls on maps whose sizes are known at run time only. All of them compare the
//! lengths of their buffers with what the kernel will read and write.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// libbpf returns the negative errno.
fn check(ret: i32) -> io::Result<i32> {
    if ret < 0 {
        Err(io::Error::from_raw_os_error(-ret))
    } else {
        Ok(ret)
    }
}

/// Owns what a call has just returned.
fn owned(ret: i32) -> io::Result<OwnedFd> {
    let fd = check(ret)?;
    // SAFETY: the call has made this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens the map with this ID.
pub(super) fn open_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes a number.
    owned(unsafe { libbpf_sys::bpf_map_get_fd_by_id(id) })
}

/// Opens the program with this ID.
pub(super) fn open_program_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes a number.
    owned(unsafe { libbpf_sys::bpf_prog_get_fd_by_id(id) })
}

/// Opens what is pinned at `path`, whatever it is.
pub(super) fn open_pinned(path: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: a C string.
    owned(unsafe { libbpf_sys::bpf_obj_get(path.as_ptr()) })
}

pub(super) fn pin(fd: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    // SAFETY: a C string.
    check(unsafe { libbpf_sys::bpf_obj_pin(fd.as_raw_fd(), path.as_ptr()) }).map(drop)
}

pub(super) fn freeze(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor.
    check(unsafe { libbpf_sys::bpf_map_freeze(fd.as_raw_fd()) }).map(drop)
}

/// The lowest ID of a map above `id`.
pub(super) fn next_id(id: u32) -> io::Result<Option<u32>> {
    let mut next = 0;
    // SAFETY: `next` is valid for writing.
    match check(unsafe { libbpf_sys::bpf_map_get_next_id(id, &mut next) }) {
        Ok(_) => Ok(Some(next)),
        Err(err) if err.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(err) => Err(err),
    }
}

/// Whether this is a map. Others, such as programs, have information of another form.
pub(super) fn is_map(fd: BorrowedFd<'_>) -> bool {
    let mut count = 0;
    // SAFETY: a batch of no entries is neither read nor written.
    let ret = unsafe {
        libbpf_sys::bpf_map_lookup_batch(
            fd.as_raw_fd(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &mut count,
            ptr::null(),
        )
    };
    // A map that has no batches answers ENOTSUPP, one that may not be read EPERM.
    ![-libc::EINVAL, -libc::EBADF].contains(&ret)
}

/// What a map is to be.
pub(super) struct New<'a> {
    pub(super) kind: u32,
    pub(super) name: &'a CStr,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
    pub(super) extra: u64,
    pub(super) inner: Option<BorrowedFd<'a>>,
}

pub(super) fn create(new: &New<'_>) -> io::Result<OwnedFd> {
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        map_flags: new.flags,
        map_extra: new.extra,
        // No map has descriptor 0 here: it would not be told from none.
        inner_map_fd: new.inner.map_or(0, |fd| fd.as_raw_fd().cast_unsigned()),
        ..Default::default()
    };
    // SAFETY: a C string, and options of their size.
    owned(unsafe {
        libbpf_sys::bpf_map_create(
            new.kind,
            new.name.as_ptr(),
            new.key_size,
            new.value_size,
            new.max_entries,
            &opts,
        )
    })
}

/// How many bytes the kernel reads and writes of a map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) key: usize,
    /// As a system call sees it: of a per-CPU map all CPUs.
    pub(super) value: usize,
}

/// A map for system calls. Its sizes are true: what the calls below rely on.
#[derive(Debug)]
pub(super) struct Raw {
    fd: OwnedFd,
    sizes: Sizes,
}

/// Where there are no keys, the kernel wants a null pointer.
fn pointer(bytes: &[u8]) -> *const libc::c_void {
    if bytes.is_empty() {
        ptr::null()
    } else {
        bytes.as_ptr().cast()
    }
}

fn pointer_mut(bytes: &mut [u8]) -> *mut libc::c_void {
    if bytes.is_empty() {
        ptr::null_mut()
    } else {
        bytes.as_mut_ptr().cast()
    }
}

impl Raw {
    /// # Safety
    ///
    /// The kernel must read and write as many bytes as `sizes` says as a key and a value
    /// of the map.
    pub(super) unsafe fn new(fd: OwnedFd, sizes: Sizes) -> Self {
        Self { fd, sizes }
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    #[track_caller]
    fn compare(&self, key: &[u8], value: &[u8]) {
        assert_eq!(key.len(), self.sizes.key, "length of a key");
        assert_eq!(value.len(), self.sizes.value, "length of a value");
    }

    pub(super) fn lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> io::Result<()> {
        self.compare(key, value);
        // SAFETY: the kernel reads one key and writes one value (a bloom filter reads it);
        // both have the lengths that `new` was told.
        check(unsafe {
            libbpf_sys::bpf_map_lookup_elem_flags(
                self.raw_fd(),
                pointer(key),
                pointer_mut(value),
                flags,
            )
        })
        .map(drop)
    }

    pub(super) fn take(&self, key: &[u8], value: &mut [u8], flags: u64) -> io::Result<()> {
        self.compare(key, value);
        // SAFETY: as for `lookup`.
        check(unsafe {
            libbpf_sys::bpf_map_lookup_and_delete_elem_flags(
                self.raw_fd(),
                pointer(key),
                pointer_mut(value),
                flags,
            )
        })
        .map(drop)
    }

    pub(super) fn update(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        self.compare(key, value);
        // SAFETY: the kernel reads one key and one value; as for `lookup`.
        check(unsafe {
            libbpf_sys::bpf_map_update_elem(self.raw_fd(), pointer(key), pointer(value), flags)
        })
        .map(drop)
    }

    pub(super) fn delete(&self, key: &[u8]) -> io::Result<()> {
        assert_eq!(key.len(), self.sizes.key, "length of a key");
        // SAFETY: the kernel reads one key; as for `lookup`.
        check(unsafe { libbpf_sys::bpf_map_delete_elem(self.raw_fd(), pointer(key)) }).map(drop)
    }

    pub(super) fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<()> {
        for len in [key.map(<[u8]>::len), Some(next.len())]
            .into_iter()
            .flatten()
        {
            assert_eq!(len, self.sizes.key, "length of a key");
        }
        // SAFETY: the kernel reads a key, if there is one, and writes another.
        check(unsafe {
            libbpf_sys::bpf_map_get_next_key(
                self.raw_fd(),
                key.map_or(ptr::null(), pointer),
                pointer_mut(next),
            )
        })
        .map(drop)
    }

    /// One step of a batch walk of a hash map, from bucket `from` (`None`: the first) to
    /// bucket `to`. Returns how many entries the kernel wrote to the front of `keys` and
    /// `values`, whatever it said otherwise.
    pub(super) fn lookup_batch(
        &self,
        from: Option<u32>,
        to: &mut u32,
        keys: &mut [u8],
        values: &mut [u8],
    ) -> (usize, io::Result<()>) {
        let room = keys.len() / self.sizes.key.max(1);
        assert_eq!(keys.len(), room * self.sizes.key, "whole keys");
        assert_eq!(values.len(), room * self.sizes.value, "as many values");
        let mut from = from;
        let from = from.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        let mut count = u32::try_from(room).unwrap_or(u32::MAX);
        // SAFETY: the kernel writes at most `count` keys and values, for which there is
        // room. The cursor of a hash map is a u32.
        let ret = check(unsafe {
            libbpf_sys::bpf_map_lookup_batch(
                self.raw_fd(),
                from.cast(),
                ptr::from_mut(to).cast(),
                keys.as_mut_ptr().cast(),
                values.as_mut_ptr().cast(),
                &mut count,
                ptr::null(),
            )
        });
        (room.min(count as usize), ret.map(drop))
    }
}
