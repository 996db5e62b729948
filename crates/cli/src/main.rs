//! The `everdure` command.

fn main() {}
