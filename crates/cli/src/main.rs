//! The `everdure` command: the place where everything meets.
//!
//! Each subcommand is a module with its arguments and one function. Exit codes: 0 it worked, 1 it did not (the reason
//! is on standard error, with what to do), 2 the command line could not be understood.

mod bench;
mod connection;
mod demo;
mod dev;
mod events;
mod output;
mod record;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Durable orchestrations on PostgreSQL.
#[derive(Parser)]
#[command(name = "everdure", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Bench(bench::Bench),
    Demo(demo::Demo),
    #[command(hide = true)]
    DemoWorker(demo::DemoWorker),
    Dev(dev::Dev),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::DemoWorker(arguments) => demo::run_worker(&arguments),
        Command::Dev(arguments) => dev::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("everdure: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The message and, after colons, those of its causes.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
