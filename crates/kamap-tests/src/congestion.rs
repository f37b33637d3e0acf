//! A map of type struct_ops.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use kamap_bpf::AnyMap;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, OpenObject, Program};

crate::skeleton!(congestion);

/// A congestion control for TCP. The kernel offers it until this is dropped.
pub struct Congestion<'storage> {
    // Dropping it removes the congestion control through the map, which `skel` closes: it goes first.
    link: Option<Link>,
    skel: congestion::CongestionSkel<'storage>,
    /// Its name, which no other one has.
    pub name: String,
    /// Its map.
    pub map: AnyMap,
}

impl std::fmt::Debug for Congestion<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Congestion")
            .field("name", &self.name)
            .field("map", &self.map)
            .finish_non_exhaustive()
    }
}

impl<'storage> Congestion<'storage> {
    /// Registers one.
    ///
    /// # Panics
    ///
    /// If the kernel refuses.
    #[track_caller]
    pub fn new(storage: &'storage mut MaybeUninit<OpenObject>) -> Self {
        let mut open = congestion::CongestionSkelBuilder::default()
            .open(storage)
            .expect("the object is in order");
        let name = format!("kamap{}", std::process::id());
        let operations = open.maps.congestion.initial_value_mut();
        // The name follows three pointers.
        operations.expect("it has a value")[24..][..name.len()].copy_from_slice(name.as_bytes());
        let mut skel = open.load().expect("the kernel takes it");
        let link = skel.maps.congestion.attach_struct_ops();
        let map = skel.maps.congestion.as_fd().try_clone_to_owned();
        Self {
            link: Some(link.expect("it can be registered")),
            skel,
            name,
            map: AnyMap::from_fd(map.expect("it can be duplicated")).expect("it is a map"),
        }
    }

    /// IDs of its programs `ssthresh`, `cong_avoid` and `undo_cwnd`.
    ///
    /// # Panics
    ///
    /// If the kernel does not report them.
    #[track_caller]
    pub fn programs(&self) -> [u32; 3] {
        let programs = &self.skel.progs;
        [
            &programs.ssthresh,
            &programs.cong_avoid,
            &programs.undo_cwnd,
        ]
        .map(|program| Program::id_from_fd(program.as_fd()).expect("it has an ID"))
    }

    /// Leaves the congestion control registered when this is dropped: the test removes it.
    pub fn disconnect(&mut self) {
        if let Some(mut link) = self.link.take() {
            link.disconnect();
        }
    }
}
