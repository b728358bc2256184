//! The command line: one file per verb (`repro` has `run` too, `records` those that only look, `lock`
//! also `kernels`, `agreement` the end of `agree`), [`args`] for its shape.

mod accel;
mod agent;
mod agree;
mod agreement;
pub mod args;
mod cache;
mod calibrate;
mod choices;
mod context;
mod control;
mod crash;
mod devices;
mod diff;
mod dist;
mod doctor;
mod drive;
mod explain;
mod fetch;
mod fio_args;
mod gallery;
mod image_args;
mod image_run;
mod input_args;
mod inspect;
mod lock;
mod manifest;
mod measuring;
mod noise;
mod on_drive;
mod pack;
mod plan;
mod prepare;
mod push;
mod records;
mod replay;
mod replay_line;
mod replayed;
mod repro;
mod scratch;
mod select;
mod session;
mod share;
mod shell;
mod signals;
mod static_libc;
mod terminal;
mod timings;
mod ui;

use crate::{
    error::{Error, Exit, Result},
    report::Detail,
    runtime::runtime,
    text,
    vm::{self, share::Access},
};
use args::{Cli, Verb};
use clap::{CommandFactory as _, Parser as _};
use measuring::{Judge, Then};
use share::ServeDirectoryArgs;
use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

/// Runs the program; what it prints and how it exits is the interface.
#[must_use]
pub fn main() -> ExitCode {
    crash::survive_file_size_limit();
    static_libc::keep_to_itself();
    let cli = Cli::parse();
    crash::guarded(|| {
        let run = || {
            // Before anything is opened: it closes what it does not know.
            if let Verb::ServeDirectory(args) = &cli.verb {
                return serve_directory(args).map(ExitCode::from);
            }
            let cli = cli.with_environment(|name| std::env::var_os(name))?;
            signals::end_the_process()?;
            dispatch(&cli)
        };
        match run() {
            Ok(exit) => exit,
            Err(error) => {
                let _ = writeln!(io::stderr(), "{}", error.render());
                error.exit().into()
            }
        }
    })
}

fn serve_directory(args: &ServeDirectoryArgs) -> Result<Exit> {
    let access = match args.writable {
        true => Access::Write,
        false => Access::Read,
    };
    vm::share::serve(args.directory, args.listener, &args.tag, access)?;
    Ok(Exit::Ok)
}

fn dispatch(cli: &Cli) -> Result<ExitCode> {
    let places = &cli.places;
    let exit = match &cli.verb {
        Verb::Calibrate(args) => calibrate::calibrate(cli, args),
        Verb::Repro(args) => {
            let then = if args.explain {
                Then::Explain
            } else {
                Then::End
            };
            let judge = Judge::Yes(Detail::verbose(args.verbose));
            repro::repro(cli, &args.select, &args.measure, judge, then)
        }
        Verb::Run(args) => repro::repro(cli, &args.select, &args.measure, Judge::No, Then::End),
        Verb::Plan(args) => plan::plan(cli, args),
        Verb::Fetch(args) => fetch::fetch(places, args),
        Verb::Explain(args) => explain::explain(cli, args),
        Verb::Agree(args) => agree::agree(cli, args),
        Verb::Gallery(args) => gallery::gallery(cli, args),
        Verb::Compare(args) => records::compare(cli, args),
        Verb::Diff(args) => diff::diff(cli, args),
        Verb::Report(args) => records::report(cli, args),
        Verb::Pack(args) => pack::pack(cli, args),
        Verb::Inspect(args) => inspect::inspect(cli, args),
        Verb::Replay(args) => replay::replay(cli, args),
        Verb::Kernels(args) => lock::kernels(places, args),
        Verb::Lock(args) => lock::lock(places, args),
        Verb::Doctor(args) => doctor::doctor(places, args),
        Verb::Devices(args) => devices::devices(places, args),
        Verb::Cache(args) => cache::cache(places, args),
        Verb::Push(args) => push::push(args),
        Verb::Pull(args) => push::pull(places, args),
        Verb::Agent(args) => agent::agent(places, args),
        Verb::Dist(args) => dist::dist(places, args),
        // Its exit code is a guest's.
        Verb::Shell(args) => return shell::shell(cli, args).map(ExitCode::from),
        Verb::ServeDirectory(args) => serve_directory(args),
        Verb::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "diorama", &mut script);
            print(&script)?;
            Ok(Exit::Ok)
        }
    };
    exit.map(ExitCode::from)
}

/// Prints a result. A reader that has gone away is no error.
fn print(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::host("writing to standard output").because(e))
        }
        _ => Ok(()),
    }
}

/// Prints a result that is text, with foreign words made harmless. A terminal's report has colours of
/// its own and does that itself.
fn print_text(words: &str) -> Result<()> {
    print(text::lines(words).as_bytes())
}

/// Prints a value as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let mut json =
        serde_json::to_vec_pretty(value).map_err(|e| Error::internal("writing JSON").because(e))?;
    json.push(b'\n');
    print(&json)
}

/// Whether to colour standard output.
fn colors(choice: args::Color) -> bool {
    match choice {
        args::Color::Always => true,
        args::Color::Never => false,
        args::Color::Auto => {
            let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
            io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() && !dumb
        }
    }
}

/// Columns of the terminal, or what is readable elsewhere.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.ok()
        .map(|s| usize::from(s.ws_col))
        .filter(|w| *w > 0)
        .unwrap_or(100)
}
