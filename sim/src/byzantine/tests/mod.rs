//! Each actor does what it says, and honest nodes take no harm.

mod blocks;
mod peers;
mod pool;
mod scene;
