//! The `everdure` command: the place where everything meets.
//!
//! Each subcommand is a module with its arguments and one function; what they share is in `connection`, `arguments`,
//! `filter`, `confirm`, `output`, `logging`, `events`, `record` and `exit`.

mod arguments;
mod confirm;
mod connection;
mod events;
mod exit;
mod filter;
mod logging;
mod output;
mod record;

mod bench;
mod bulk;
mod control;
mod demo;
mod dev;
mod entity;
mod export;
mod fork;
mod get;
mod history;
mod hub;
mod import;
mod list;
mod migrate;
mod poison;
mod purge;
mod restart;
mod rewind;
mod scale;
mod serve;
mod settings;
mod start;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A server handles tens of thousands of small calls a second, each on some thread and freed on another: the allocator of
/// the C library took a third of the processor time for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const AFTER_HELP: &str = "\
First steps:
  everdure demo                                   see what it does, on a private PostgreSQL
  everdure dev                                    run a server for SDKs on a private PostgreSQL
  export EVERDURE_DATABASE_URL=postgresql://…     say where your database is
  everdure migrate                                make the tables
  everdure start my_orchestration --input '{}'    start an instance; your worker runs it
  everdure list                                   see where it stands

Environment:
  EVERDURE_DATABASE_URL   the database, unless --database-url names another
  EVERDURE_LOG            what to log to standard error, such as warn or everdure_engine=debug
                          [default: info for serve, warn for dev, error for the others]
  NO_COLOR                no colours, on a terminal either

Exit codes:
  0  it worked
  1  it did not; standard error says why, and what to do
  2  the command line could not be understood
  3  the instance that was waited for failed or was terminated
  4  the instance that was waited for had not ended when the time was over";

/// Durable orchestrations on PostgreSQL.
///
/// Every command has its own help, with examples: everdure help start
#[derive(Parser)]
#[command(name = "everdure", version, propagate_version = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    #[command(hide = true)]
    DemoWorker(demo::DemoWorker),
    Dev(dev::Dev),
    Serve(serve::Serve),
    Migrate(migrate::Migrate),
    Hub(hub::HubCommand),
    Start(start::Start),
    Get(get::Get),
    List(Box<list::List>),
    History(history::History),
    RaiseEvent(control::RaiseEvent),
    Suspend(control::Suspend),
    Resume(control::Resume),
    Terminate(control::Terminate),
    Restart(restart::Restart),
    Rewind(rewind::Rewind),
    Fork(fork::Fork),
    Entity(entity::EntityCommand),
    Export(Box<export::Export>),
    Import(import::Import),
    Purge(purge::Purge),
    Bulk(Box<bulk::Bulk>),
    Poison(poison::Poison),
    Settings(settings::Settings),
    Scale(scale::Scale),
    Bench(bench::Bench),
}

/// Warnings of the engine would only disturb the output of a command; who looks for something says so. A server tells
/// what happens.
fn how_to_log(command: &Command) -> (&'static str, bool) {
    match command {
        Command::Serve(arguments) => ("info", arguments.logs_json()),
        Command::Dev(arguments) => ("warn", arguments.logs_json()),
        _ => ("error", false),
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let (level, json) = how_to_log(&command);
    logging::begin(level, json);
    let done = |()| ExitCode::SUCCESS;
    let outcome = match command {
        Command::Demo(arguments) => demo::run(&arguments).map(done),
        Command::DemoWorker(arguments) => demo::run_worker(&arguments).map(done),
        Command::Dev(arguments) => dev::run(&arguments).map(done),
        Command::Serve(arguments) => serve::run(&arguments).map(done),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Hub(arguments) => hub::run(&arguments),
        Command::Start(arguments) => start::run(&arguments),
        Command::Get(arguments) => get::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::History(arguments) => history::run(&arguments),
        Command::RaiseEvent(arguments) => control::raise_event(&arguments),
        Command::Suspend(arguments) => control::suspend(&arguments),
        Command::Resume(arguments) => control::resume(&arguments),
        Command::Terminate(arguments) => control::terminate(&arguments),
        Command::Fork(arguments) => fork::run(&arguments),
        Command::Entity(arguments) => entity::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Restart(arguments) => restart::run(&arguments),
        Command::Rewind(arguments) => rewind::run(&arguments),
        Command::Purge(arguments) => purge::run(&arguments),
        Command::Bulk(arguments) => bulk::run(&arguments),
        Command::Poison(arguments) => poison::run(&arguments),
        Command::Settings(arguments) => settings::run(&arguments),
        Command::Scale(arguments) => scale::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments).map(done),
    };
    outcome.unwrap_or_else(|error| exit::failed(error.as_ref(), json))
}
