//! Writing to the maps of a running tracker, which only tests do.

use libbpf_rs::query::{ProgInfoIter, ProgInfoQueryOptions};
use libbpf_rs::{MapCore, MapFlags, MapHandle};

use crate::Loaded;

/// The maps of this process's only tracker.
#[derive(Debug)]
pub struct Planted {
    rows: MapHandle,
    drafts: MapHandle,
}

impl Planted {
    /// Finds the maps through the programs behind the file descriptors of this process.
    ///
    /// # Panics
    ///
    /// If there is no tracker.
    #[track_caller]
    pub fn find() -> Self {
        let programs = Loaded::by(std::process::id()).programs;
        let all =
            ProgInfoIter::with_query_opts(ProgInfoQueryOptions::default().include_map_ids(true));
        let maps: Vec<_> = all
            .filter(|program| programs.contains(&program.id))
            .flat_map(|program| program.map_ids)
            .collect();
        let find = |name: &str| {
            let maps = maps.iter().map(|id| MapHandle::from_map_id(*id));
            let map = maps.flatten().find(|map| map.name() == name);
            map.unwrap_or_else(|| panic!("there is no map `{name}`"))
        };
        Self {
            rows: find("processes"),
            drafts: find("drafts"),
        }
    }

    /// The row of `pid` in the kernel's format, `struct kamap_process`.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn row(&self, pid: u32) -> Vec<u8> {
        let row = self.rows.lookup(&pid.to_ne_bytes(), MapFlags::ANY);
        row.expect("the map can be read").expect("there is a row")
    }

    /// Writes a row for `pid`.
    ///
    /// # Panics
    ///
    /// If the table is full.
    #[track_caller]
    pub fn put_row(&self, pid: u32, row: &[u8]) {
        let put = self.rows.update(&pid.to_ne_bytes(), row, MapFlags::ANY);
        put.expect("there is room");
    }

    /// Removes the row of `pid`.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn remove_row(&self, pid: u32) {
        let removed = self.rows.delete(&pid.to_ne_bytes());
        removed.expect("there is a row");
    }

    /// Reserves all drafts of all CPUs, so that no program can write a row, or frees them. Only use
    /// it while nothing else forks or execs.
    ///
    /// # Panics
    ///
    /// If the map cannot be written.
    #[track_caller]
    pub fn take_drafts(&self, take: bool) {
        for slot in 0..self.drafts.max_entries() {
            let key = slot.to_ne_bytes();
            let drafts = self.drafts.lookup_percpu(&key, MapFlags::ANY);
            let mut drafts = drafts
                .expect("the map can be read")
                .expect("it is an array");
            for draft in &mut drafts {
                // The flag is the last field of `struct draft`, which is aligned to eight bytes.
                let at = draft.len() - 8;
                draft[at] = take.into();
            }
            let put = self.drafts.update_percpu(&key, &drafts, MapFlags::ANY);
            put.expect("the map can be written");
        }
    }
}
