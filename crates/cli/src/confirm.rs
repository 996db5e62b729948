//! A yes on the terminal before many instances are changed at once.

use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Write};

/// Asks; without a terminal, or with any answer but yes, `refused` is the error.
pub fn ask(question: &str, refused: &str) -> Result<(), Box<dyn Error>> {
    let refused = format!("{refused}: add --yes to go ahead without being asked");
    if !io::stdin().is_terminal() {
        return Err(refused.into());
    }
    let mut err = io::stderr();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(refused.into()),
    }
}
