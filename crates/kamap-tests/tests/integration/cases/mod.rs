//! Every case that an exact table of processes has to get right, compared with wait() and /proc.
//! `ci/test-vm` lists these with their result on each kernel.

mod arguments;
mod cgroups;
mod cpu_time;
mod end;
mod events;
mod exec;
mod exec_failed;
mod facts;
mod follow;
mod losses;
mod paths;
mod reader;
mod reuse;
mod row;
mod seed;
mod start;
mod threads;
