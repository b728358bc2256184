//! The help, as it is printed.

use super::*;

#[test]
fn the_help_explains_itself() {
    insta::assert_snapshot!(printed(&["--help"]), @r"
    Reproduces Linux direct-I/O performance regressions in virtual machines, to the last digit.

    A scenario names kernels, file systems and workloads. Each combination is a cell, measured in a
    virtual machine whose clock counts executed instructions: equal inputs give equal digits, on any
    machine. No root, no KVM, no NVMe and no QEMU are needed.

    Usage: diorama [OPTIONS] <COMMAND>

    Commands:
      repro        Measure a scenario, compare, report, and say whether it was reproduced
      run          Measure a scenario and say where the record is; judge nothing
      explain      Show where a cell's instructions went, and what differs from another kernel
      agree        Our engines and fio's side by side: do they see the same kernel?
      compare      Tables of runs recorded before
      report       Render a run recorded before
      plan         Show a scenario's cells, their digests and what is cached; measure nothing
      kernels      List the kernels that are defined, and what the lock says of them
      lock         Resolve kernels and tools to files in Debian's archive, and write the lock files
      fetch        Download what a scenario needs, to work offline later
      doctor       Say what this host can do, and what to do about the rest
      cache        Show, shrink or clear the cache
      completions  Print a shell's completions

    Options:
          --color <WHEN>
              Colours in the terminal

              Possible values:
              - auto:   When it is a terminal
              - always: Always
              - never:  Never

              [default: auto]

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Places:
          --root <DIR>
              The project's directory (scenarios/, kernels/, images/) [default: found from here upwards]
              [env: DIORAMA_ROOT]

          --cache <DIR>
              Downloads, checkpoints and measured cells [default: the user's cache directory] [env:
              DIORAMA_CACHE]

          --results <DIR>
              Where runs are recorded [default: results/ in the project's directory]

    Examples:
      diorama doctor                   what this machine can do
      diorama repro smoke              two kernels, one file system: a first look
      diorama repro                    the whole report that Diorama began with
      diorama repro --kernel mine=arch/x86/boot/bzImage --only-kernel mine
                                       a kernel of your own against the baseline
      diorama report latest --format markdown
                                       the last run's tables, to paste into a mail
      diorama explain 6.12/ext4/write-4k
                                       where its instructions went, and what 7.2 does without

    Exit codes:
        0  everything asked for was done; a scenario's expectations, if any, held
           (`report` only shows a record: 0 whatever its verdict)
        1  NOT REPRODUCED or UNDECIDED; equal inputs gave other digits; --verify or
           compare had nothing to compare
        2  bad input: command line, scenario, kernel definition, an unreadable record
        3  something could not be fetched or verified
        4  this host cannot: disk full, memory, permissions, a missing facility
        5  some cell was not measured; the rest is on disk
        6  the harness itself failed
      130  stopped by SIGINT
      143  stopped by SIGTERM
    ");
}

#[test]
fn the_help_of_repro() {
    insta::assert_snapshot!(printed(&["repro", "-h"]), @r"
    Measure a scenario, compare, report, and say whether it was reproduced

    Usage: diorama repro [OPTIONS] [SCENARIO]

    Arguments:
      [SCENARIO]  A scenario's file, or the name of one in scenarios/ [default: iomap-dio]

    Options:
          --explain       Profile the cells that differ, and say in the report where they differ
          --color <WHEN>  Colours in the terminal [default: auto] [possible values: auto, always, never]
      -h, --help          Print help (see more with '--help')

    Selection:
          --kernel <NAME=PATH[,modules=DIR]>
              Add a kernel of your own: bzImage or vmlinux, and the directory of its modules
          --baseline <NAME>
              Compare with this kernel instead of the scenario's baseline
          --only-kernel <NAME>
              Only this kernel, and the baseline (repeatable)
          --filesystem <NAME>
              Only this file system (repeatable)
          --workload <NAME>
              Only this workload (repeatable)
          --repetitions <N>
              Measure each cell this often
          --cmdline <WORD>
              Add a word to the guests' kernel command line (repeatable)

    Measuring:
          --fresh      Measure every cell, also those measured before
          --verify     Measure every cell, and compare with what was measured before: every digit, and
                       memory
      -j, --jobs <N>   Virtual machines at once [default: one per core, as far as memory allows]
          --fail-fast  Stop at the first cell that is not measured, instead of going on with the others
          --plain      Plain lines instead of progress bars
          --json       Print the results as JSON

    Inputs:
          --locked                   Fail when a locked file is gone, instead of taking what the archive
                                     has now
          --offline                  Download nothing
          --qemu <lock|system|PATH>  Which QEMU: the one in the lock, the system's, or an executable
                                     [default: lock]
          --no-checkpoint            Boot for every cell instead of restoring checkpoints (slow; the
                                     digits are the same)

    Places:
          --root <DIR>     The project's directory (scenarios/, kernels/, images/) [default: found from
                           here upwards] [env: DIORAMA_ROOT]
          --cache <DIR>    Downloads, checkpoints and measured cells [default: the user's cache
                           directory] [env: DIORAMA_CACHE]
          --results <DIR>  Where runs are recorded [default: results/ in the project's directory]
    ");
}

#[test]
fn the_help_of_the_other_verbs() {
    let verbs = [
        "explain",
        "agree",
        "compare",
        "report",
        "plan",
        "lock",
        "fetch",
        "doctor",
        "cache",
        "completions",
    ];
    let short = |verb: &&str| {
        let text = printed(&[verb, "-h"]);
        // What follows is the same for every verb.
        text.split("\nPlaces:")
            .next()
            .unwrap_or_default()
            .trim_end()
            .to_owned()
    };
    let all: Vec<_> = verbs.iter().map(short).collect();
    insta::assert_snapshot!(all.join("\n\n====\n\n"), @r"
    Show where a cell's instructions went, and what differs from another kernel

    Usage: diorama explain [OPTIONS] <CELL|RUN>

    Arguments:
      <CELL|RUN>  A cell, KERNEL/FILESYSTEM/WORKLOAD; or a run (its directory, its id, or `latest`), for
                  every cell of it that differs from the baseline

    Options:
          --against <KERNEL>  The kernel it is held against [default: the scenario's baseline]
      -f, --format <FORMAT>   The form; files are written in every form [default: terminal] [possible
                              values: terminal, markdown, json, mail]
          --functions <N>     How many functions to show [default: 20]
          --color <WHEN>      Colours in the terminal [default: auto] [possible values: auto, always,
                              never]
      -h, --help              Print help (see more with '--help')

    Selection:
          --scenario <NAME>
              The scenario of the cell: a file, or the name of one in scenarios/ [default: iomap-dio]
          --kernel <NAME=PATH[,modules=DIR]>
              Add a kernel of your own: bzImage or vmlinux, and the directory of its modules
          --repetitions <N>
              Measure the cell this often
          --cmdline <WORD>
              Add a word to the guests' kernel command line (repeatable)

    Measuring:
      -j, --jobs <N>  Virtual machines at once [default: one per core, as far as memory allows]
          --plain     Plain lines instead of progress bars

    Inputs:
          --locked                   Fail when a locked file is gone, instead of taking what the archive
                                     has now
          --offline                  Download nothing
          --qemu <lock|system|PATH>  Which QEMU: the one in the lock, the system's, or an executable
                                     [default: lock]
          --no-checkpoint            Boot for every cell instead of restoring checkpoints (slow; the
                                     digits are the same)

    ====

    Our engines and fio's side by side: do they see the same kernel?

    Usage: diorama agree [OPTIONS]

    Options:
          --color <WHEN>  Colours in the terminal [default: auto] [possible values: auto, always, never]
      -h, --help          Print help (see more with '--help')

    Selection:
          --only-kernel <NAME>  Only this kernel, and the baseline (repeatable)

    Measuring:
          --fresh      Measure every cell, also those measured before
          --verify     Measure every cell, and compare with what was measured before: every digit, and
                       memory
      -j, --jobs <N>   Virtual machines at once [default: one per core, as far as memory allows]
          --fail-fast  Stop at the first cell that is not measured, instead of going on with the others
          --plain      Plain lines instead of progress bars
          --json       Print the results as JSON

    Inputs:
          --locked                   Fail when a locked file is gone, instead of taking what the archive
                                     has now
          --offline                  Download nothing
          --qemu <lock|system|PATH>  Which QEMU: the one in the lock, the system's, or an executable
                                     [default: lock]
          --no-checkpoint            Boot for every cell instead of restoring checkpoints (slow; the
                                     digits are the same)

    ====

    Tables of runs recorded before

    Usage: diorama compare [OPTIONS] <RUN>...

    Arguments:
      <RUN>...  A run's directory, its id, or `latest`; several are shown one below the other

    Options:
          --baseline <NAME>  Compare with this kernel instead of the scenario's baseline
          --json             Print the comparison as JSON
          --color <WHEN>     Colours in the terminal [default: auto] [possible values: auto, always,
                             never]
      -h, --help             Print help (see more with '--help')

    ====

    Render a run recorded before

    Usage: diorama report [OPTIONS] <RUN>

    Arguments:
      <RUN>  A run's directory, its id, or `latest`

    Options:
      -f, --format <FORMAT>  The form [default: terminal] [possible values: terminal, markdown, org,
                             csv, json, junit, svg, png]
      -o, --output <FILE>    Write to this file instead of standard output
          --color <WHEN>     Colours in the terminal [default: auto] [possible values: auto, always,
                             never]
      -h, --help             Print help (see more with '--help')

    ====

    Show a scenario's cells, their digests and what is cached; measure nothing

    Usage: diorama plan [OPTIONS] [SCENARIO]

    Arguments:
      [SCENARIO]  A scenario's file, or the name of one in scenarios/ [default: iomap-dio]

    Options:
          --json          Print the plan as JSON
          --color <WHEN>  Colours in the terminal [default: auto] [possible values: auto, always, never]
      -h, --help          Print help (see more with '--help')

    Selection:
          --kernel <NAME=PATH[,modules=DIR]>
              Add a kernel of your own: bzImage or vmlinux, and the directory of its modules
          --baseline <NAME>
              Compare with this kernel instead of the scenario's baseline
          --only-kernel <NAME>
              Only this kernel, and the baseline (repeatable)
          --filesystem <NAME>
              Only this file system (repeatable)
          --workload <NAME>
              Only this workload (repeatable)
          --repetitions <N>
              Measure each cell this often
          --cmdline <WORD>
              Add a word to the guests' kernel command line (repeatable)

    Inputs:
          --locked                   Fail when a locked file is gone, instead of taking what the archive
                                     has now
          --offline                  Download nothing
          --qemu <lock|system|PATH>  Which QEMU: the one in the lock, the system's, or an executable
                                     [default: lock]
          --no-checkpoint            Boot for every cell instead of restoring checkpoints (slow; the
                                     digits are the same)

    ====

    Resolve kernels and tools to files in Debian's archive, and write the lock files

    Usage: diorama lock [OPTIONS]

    Options:
          --update <NAME>  Resolve only this kernel or tool set anew (repeatable) [default: all]
          --allow-older    Accept packages older than those locked now
          --check          Write nothing; fail when the lock does not fit the definitions or a file is
                           gone
          --color <WHEN>   Colours in the terminal [default: auto] [possible values: auto, always,
                           never]
      -h, --help           Print help (see more with '--help')

    ====

    Download what a scenario needs, to work offline later

    Usage: diorama fetch [OPTIONS] [SCENARIO]

    Arguments:
      [SCENARIO]  A scenario's file, or the name of one in scenarios/ [default: iomap-dio]

    Options:
          --locked        Fail when a locked file is gone, instead of taking what the archive has now
          --plain         Plain lines instead of progress bars
          --color <WHEN>  Colours in the terminal [default: auto] [possible values: auto, always, never]
      -h, --help          Print help (see more with '--help')

    ====

    Say what this host can do, and what to do about the rest

    Usage: diorama doctor [OPTIONS]

    Options:
          --json                     Print the checks as JSON
          --qemu <lock|system|PATH>  Which QEMU to try KVM with: the one in the lock, the system's, or
                                     an executable [default: lock]
          --offline                  Do not try the network
          --color <WHEN>             Colours in the terminal [default: auto] [possible values: auto,
                                     always, never]
      -h, --help                     Print help (see more with '--help')

    ====

    Show, shrink or clear the cache

    Usage: diorama cache [OPTIONS] <COMMAND>

    Commands:
      list    What is in it, and how large it is
      shrink  Remove what was used longest ago, until it is no larger than this
      clear   Remove everything

    Options:
          --color <WHEN>  Colours in the terminal [default: auto] [possible values: auto, always, never]
      -h, --help          Print help (see more with '--help')

    ====

    Print a shell's completions

    Usage: diorama completions [OPTIONS] <SHELL>

    Arguments:
      <SHELL>  The shell [possible values: bash, elvish, fish, powershell, zsh]

    Options:
          --color <WHEN>  Colours in the terminal [default: auto] [possible values: auto, always, never]
      -h, --help          Print help (see more with '--help')
    ");
}

#[test]
fn the_help_names_every_exit_code() {
    for exit in [
        Exit::Ok,
        Exit::NotReproduced,
        Exit::Input,
        Exit::Fetch,
        Exit::Host,
        Exit::Incomplete,
        Exit::Internal,
        Exit::Interrupted,
        Exit::Terminated,
    ] {
        let code = exit as u8;
        let line = format!("\n{code:>5}  ");
        assert!(AFTER_LONG_HELP.contains(&line), "{exit:?}");
    }
}

#[test]
fn variables_that_are_set_are_not_shown_as_if_they_were_required() {
    // No variable is the parser's own: what a usage line shows cannot depend on any.
    fn deaf(command: &clap::Command) -> bool {
        command.get_arguments().all(|a| a.get_env().is_none())
            && command.get_subcommands().all(deaf)
    }
    assert!(deaf(&Cli::command()));
    insta::assert_snapshot!(printed(&["report"]), @r"
    error: the following required arguments were not provided:
      <RUN>

    Usage: diorama report <RUN>

    For more information, try '--help'.
    ");
}
