//! Pictures by the million, as other programs hand them over and take the answers: a stream of records or of Arrow's record batches,
//! shards in tar or Parquet form, rows in a Parquet file or in record batches.
//!
//! Reads what lies outside of files of their own, one picture after the other, in an order that is always the same; what cannot be
//! read is a picture with an error, so that whoever counts rows finds one for each. Knows bytes and formats. Must not know models,
//! the command line or what becomes of a picture.

mod arrow_column;
mod arrow_messages;
mod arrow_rows;
mod arrow_stream;
mod columns;
mod frames;
mod member;
mod parquet_shard;
mod rows;
mod shards;
mod stream;
mod tar_shard;

pub use arrow_rows::BatchWriter;
pub use arrow_stream::{StreamReading, Streamed};
pub use columns::ShardColumns;
pub use member::{Member, MemberError};
pub use rows::{AnswerRow, RowWriter};
pub use shards::{ShardReading, is_shard};
pub use stream::PictureStream;
