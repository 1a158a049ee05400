//! Types and rules. Pure: no input or output, no SQL, no HTTP framework. Everything above may name this room;
//! it names nothing of ours.

pub mod id;
pub mod random;
pub mod time;
