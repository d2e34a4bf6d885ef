//! Pictures by the million, as other programs hand them over and take the answers: a stream of records, shards in tar or Parquet
//! form, rows in a Parquet file.
//!
//! Reads what lies outside of files of their own, one picture after the other, in an order that is always the same; what cannot be
//! read is a picture with an error, so that whoever counts rows finds one for each. Knows bytes and formats. Must not know models,
//! the command line or what becomes of a picture.

mod frames;
mod member;
mod parquet_shard;
mod rows;
mod shards;
mod tar_shard;

pub use frames::read_frames;
pub use member::{Member, MemberError};
pub use parquet_shard::ShardColumns;
pub use rows::{AnswerRow, RowWriter};
pub use shards::{ShardReading, is_shard};
