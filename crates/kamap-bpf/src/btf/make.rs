//! BTF for a map that is created from Rust types, so that other tools can show its fields.

use std::ffi::CString;
use std::io;
use std::ptr::NonNull;

use super::handle::Btf;
use crate::data::{Layout, Shape};

/// BTF that has been loaded into the kernel, and the IDs of the types of keys and values in it; 0
/// if there is none.
#[derive(Debug)]
pub(crate) struct Made {
    btf: Btf,
    pub(crate) key: u32,
    pub(crate) value: u32,
}

impl Made {
    /// # Errors
    ///
    /// If the kernel rejects the BTF or does not permit loading it.
    pub(crate) fn of(key: Option<&'static Layout>, value: &'static Layout) -> io::Result<Self> {
        let mut maker = Maker::new()?;
        let key = key.map(|key| maker.find(key)).transpose()?.unwrap_or(0);
        let value = maker.find(value)?;
        // SAFETY: the pointer is valid, and nothing else uses the BTF.
        check(unsafe { libbpf_sys::btf__load_into_kernel(maker.btf.0.as_ptr()) })?;
        Ok(Self {
            btf: maker.btf,
            key,
            value,
        })
    }

    /// The file descriptor of the BTF, which stays open until `self` is dropped.
    pub(crate) fn fd(&self) -> u32 {
        // SAFETY: as above.
        unsafe { libbpf_sys::btf__fd(self.btf.0.as_ptr()) }.cast_unsigned()
    }
}

struct Maker {
    btf: Btf,
    /// The types that have been added, and their IDs.
    made: Vec<(&'static Layout, u32)>,
}

impl Maker {
    fn new() -> io::Result<Self> {
        // SAFETY: returns null with errno, or a pointer that we free.
        let btf = NonNull::new(unsafe { libbpf_sys::btf__new_empty() });
        Ok(Self {
            btf: Btf(btf.ok_or_else(io::Error::last_os_error)?),
            made: Vec::new(),
        })
    }

    /// The ID of the type, which is added if it is missing.
    fn find(&mut self, layout: &'static Layout) -> io::Result<u32> {
        if let Some((_, id)) = self.made.iter().find(|(made, _)| *made == layout) {
            return Ok(*id);
        }
        let name = CString::new(layout.name)?;
        let btf = self.btf.0.as_ptr();
        let id = match layout.shape {
            Shape::Integer { signed } => {
                let encoding = if signed {
                    libbpf_sys::BTF_INT_SIGNED
                } else {
                    0
                };
                // SAFETY: here and below, `btf` is valid and owned by us, and names are C strings.
                check(unsafe {
                    libbpf_sys::btf__add_int(btf, name.as_ptr(), layout.size as _, encoding as i32)
                })?
            }
            Shape::Float => {
                // SAFETY: see above.
                check(unsafe { libbpf_sys::btf__add_float(btf, name.as_ptr(), layout.size as _) })?
            }
            Shape::Array { element, len } => {
                let element = self.find(element)?;
                let index = self.find(<u32 as crate::MapData>::LAYOUT)?;
                let len = u32::try_from(len).map_err(io::Error::other)?;
                // SAFETY: see above.
                check(unsafe {
                    libbpf_sys::btf__add_array(btf, index as i32, element as i32, len)
                })?
            }
            Shape::Struct { fields } => {
                let mut members = Vec::new();
                for field in fields.iter().filter(|field| !field.is_padding()) {
                    members.push((field, CString::new(field.name)?, self.find(field.layout)?));
                }
                // The kernel requires this order.
                members.sort_by_key(|(field, ..)| field.offset);
                let size = u32::try_from(layout.size).map_err(io::Error::other)?;
                // SAFETY: see above.
                let id = check(unsafe { libbpf_sys::btf__add_struct(btf, name.as_ptr(), size) })?;
                for (field, name, ty) in members {
                    let bits = u32::try_from(8 * field.offset).map_err(io::Error::other)?;
                    // SAFETY: see above; the struct was the last type added.
                    check(unsafe {
                        libbpf_sys::btf__add_field(btf, name.as_ptr(), ty as i32, bits, 0)
                    })?;
                }
                id
            }
        };
        self.made.push((layout, id));
        Ok(id)
    }
}

/// libbpf returns the negative errno.
fn check(ret: i32) -> io::Result<u32> {
    u32::try_from(ret).map_err(|_| io::Error::from_raw_os_error(-ret))
}
