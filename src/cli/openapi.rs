//! `resnetd openapi`: the description of the HTTP API, without a server and without an engine.

use std::io::Write as _;

use anyhow::Context;

use super::output::Output;
use crate::server;

pub(super) fn run() -> anyhow::Result<()> {
    let mut output = Output::stdout();
    output.write_all(&server::openapi()).context("cannot write the description")?;
    output.finish()
}
