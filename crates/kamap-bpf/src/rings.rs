//! Readers of the records that programs send.

mod mmap;
mod perf;
mod record;
mod ring_buf;
mod stop;

pub use mmap::page_size;
pub use perf::{PerfEventArray, Sample, open_cpu_clocks};
pub use record::Record;
pub use ring_buf::RingBuf;
pub use stop::Stop;
