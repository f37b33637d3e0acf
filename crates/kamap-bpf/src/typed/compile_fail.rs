//! Operations that a kind of map or a handle does not have, and that do not compile. Each
//! is alone, so that another one's error does not stand for its own.
//!
//! These compile:
//!
//! ```
//! use kamap_bpf::*;
//! fn reads(map: &Map<Hash<u32, u64>, ReadOnly>) {
//!     map.get(&1).unwrap();
//! }
//! fn writes(map: &Map<Hash<u32, u64>, WriteOnly>) {
//!     map.insert(&1, &1, UpdateMode::Any).unwrap();
//!     map.freeze().unwrap();
//! }
//! fn does_both(map: Map<Hash<u32, u64>>) {
//!     map.drain(|_, _| ()).unwrap();
//!     map.locked().unwrap();
//! }
//! fn filters(map: &Map<BloomFilter<u64>>) {
//!     map.may_contain(&1).unwrap();
//! }
//! fn removes(map: &Map<LpmTrie<Net, u64>>, net: Net) {
//!     map.remove(&net).unwrap();
//! }
//! fn holds(map: &Map<HashOfMaps<u32, Array<u64>>>, inner: &Map<Array<u64>>) {
//!     map.insert_map(&1, inner, UpdateMode::Any).unwrap();
//! }
//! # #[derive(Clone, Copy, MapData)]
//! # #[repr(C)]
//! # struct Net { prefix_len: u32, address: [u8; 4] }
//! ```
//!
//! A handle for writing does not read.
//!
//! ```compile_fail,E0599
//! use kamap_bpf::*;
//! fn refused(map: &Map<Hash<u32, u64>, WriteOnly>) {
//!     map.get(&1).unwrap();
//! }
//! ```
//!
//! ```compile_fail,E0599
//! use kamap_bpf::*;
//! fn refused(map: &Map<Hash<u32, u64>, WriteOnly>) {
//!     map.iter().count();
//! }
//! ```
//!
//! A handle for reading does not write.
//!
//! ```compile_fail,E0599
//! use kamap_bpf::*;
//! fn refused(map: &Map<Hash<u32, u64>, ReadOnly>) {
//!     map.insert(&1, &1, UpdateMode::Any).unwrap();
//! }
//! ```
//!
//! ```compile_fail,E0599
//! use kamap_bpf::*;
//! fn refused(map: &Map<Hash<u32, u64>, ReadOnly>) {
//!     map.drain(|_, _| ()).unwrap();
//! }
//! ```
//!
//! ```compile_fail,E0599
//! use kamap_bpf::*;
//! fn refused(map: &Map<Hash<u32, u64>, ReadOnly>) {
//!     map.freeze().unwrap();
//! }
//! ```
//!
//! Values that the kernel throws out, or has for each CPU, have no lock.
//!
//! ```compile_fail,E0599
//! use kamap_bpf::*;
//! fn refused(map: Map<LruHash<u32, u64>>) {
//!     map.locked().unwrap();
//! }
//! ```
//!
//! ```compile_fail,E0599
//! use kamap_bpf::*;
//! fn refused(map: Map<PerCpuHash<u32, u64>>) {
//!     map.locked().unwrap();
//! }
//! ```
//!
//! ```compile_fail,E0599
//! use kamap_bpf::*;
//! fn refused(map: Map<PerCpuArray<u64>>) {
//!     map.locked().unwrap();
//! }
//! ```
//!
//! What is in a Bloom filter is neither listed nor removed.
//!
//! ```compile_fail,E0599
//! use kamap_bpf::*;
//! fn refused(map: &Map<BloomFilter<u64>>) {
//!     map.iter().count();
//! }
//! ```
//!
//! ```compile_fail,E0599
//! use kamap_bpf::*;
//! fn refused(map: &Map<BloomFilter<u64>>) {
//!     map.remove(&1).unwrap();
//! }
//! ```
//!
//! The kernel takes nothing out of a trie in one step.
//!
//! ```compile_fail,E0599
//! use kamap_bpf::*;
//! fn refused(map: &Map<LpmTrie<Net, u64>>, net: Net) {
//!     map.take(&net).unwrap();
//! }
//! # #[derive(Clone, Copy, MapData)]
//! # #[repr(C)]
//! # struct Net { prefix_len: u32, address: [u8; 4] }
//! ```
//!
//! A number is no map.
//!
//! ```compile_fail,E0599
//! use kamap_bpf::*;
//! fn refused(map: &Map<HashOfMaps<u32, Array<u64>>>) {
//!     map.insert(&1, &1, UpdateMode::Any).unwrap();
//! }
//! ```
