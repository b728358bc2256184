//! The help, as it is printed.

use super::*;

#[test]
fn the_help_explains_itself() {
    insta::assert_snapshot!(printed(&["--help"]), @"
    Reproduces Linux direct-I/O performance regressions in virtual machines, bit-exactly.

    A scenario names kernels, file systems and workloads. Each combination is a cell, measured in a
    virtual machine whose clock counts executed instructions: equal inputs give equal digits, on any
    machine. Needs no root, KVM, NVMe drive or installed QEMU.

    Usage: diorama [OPTIONS] <COMMAND>

    Commands:
      repro        Measure a scenario, compare, report, and say whether it was reproduced
      run          Measure a scenario and say where the record is, without a verdict
      calibrate    Measure a scenario's baseline against itself, and against itself throttled: can
                   differences be found here? (metal lane)
      explain      Show where a cell's instructions went, and what differs from another kernel
      shell        Open a shell in the guest that a cell would have
      agree        Compare our engines with fio's: do they see the same kernel?
      gallery      Run the published reports of scenarios/gallery, and print one page of what came of
                   each
      compare      Compare recorded runs in one set of tables
      diff         Say which inputs and which results of two recorded runs differ, and nothing else
      report       Render a recorded run
      pack         Pack a recorded run and everything that made it into one file, for others to replay
      inspect      Show what is in an image, and its report, without running anything
      replay       Measure an image's cells again, out of the image alone, and compare every digit
      plan         Show a scenario's cells, their input digests and what is cached, without measuring
      kernels      List the defined kernels and their lock entries
      lock         Resolve kernels and tools to files in Debian's archive, and write the lock files
      fetch        Download everything a scenario needs, for working offline
      doctor       Check what this host can do, and how to fix the rest
      devices      List this host's NVMe controllers, and whether a guest could have them
      push         Send an image to an OCI registry
      pull         Fetch an image from an OCI registry, or by https, into a file
      cache        Show, shrink or clear the cache
      completions  Print shell completions

    Options:
          --color <WHEN>
              When to use colours

              Possible values:
              - auto:   If the output is a terminal
              - always: Always
              - never:  Never

              [default: auto]

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Places:
          --root <DIR>
              The project's directory (scenarios/, kernels/, images/) [default: what the program
              carries, if it does; else this directory or a parent] [env: DIORAMA_ROOT]

          --cache <DIR>
              Downloads, checkpoints and measured cells [default: the user's cache directory] [env:
              DIORAMA_CACHE]

          --results <DIR>
              Where runs are recorded [default: results/ in the project's directory; in this one if the
              program carries the project]

    Examples:
      diorama doctor                   what this machine can do
      diorama repro smoke              two kernels, one file system: a first look
      diorama repro                    the whole report that Diorama started from
      diorama repro --kernel mine=arch/x86/boot/bzImage --only-kernel mine
                                       a kernel of your own against the baseline
      diorama report latest --format markdown
                                       the last run's tables, to paste into a mail
      diorama explain 6.12/ext4/write-4k
                                       where its instructions went, compared with 7.2
      diorama pack latest -o x.diorama
                                       the last run and all that made it, in one file
      diorama replay x.diorama         measure it again, anywhere, digit by digit

    Exit codes:
        0  success; the scenario's claims, if any, held
           (`report` only renders a record: 0 whatever its verdict)
        1  NOT REPRODUCED or UNDECIDED; equal inputs gave different digits; --verify
           or compare had nothing to compare with; a replay is not identical; diff
           found a difference
        2  bad input: command line, scenario, kernel definition, an unreadable record
        3  something could not be fetched or verified
        4  a problem with this host: disk full, memory, permissions, a missing facility
        5  some cells were not measured; the rest are on disk
        6  the harness itself failed: a bug, please report it
      130  stopped by SIGINT
      143  stopped by SIGTERM
    ");
}

#[test]
fn the_help_of_repro() {
    insta::assert_snapshot!(printed(&["repro", "-h"]), @"
    Measure a scenario, compare, report, and say whether it was reproduced

    Usage: diorama repro [OPTIONS] [SCENARIO]

    Arguments:
      [SCENARIO]  A scenario file, or the name of one in scenarios/ [default: iomap-dio]

    Options:
          --explain       Profile the cells that differ, and show in the report where
      -v, --verbose       Show all figures with their ranges, all costs and all claims
          --color <WHEN>  When to use colours [default: auto] [possible values: auto, always, never]
      -h, --help          Print help (see more with '--help')

    fio jobs:
          --fio <FILE|COMMAND>   Run a fio job instead of a scenario: a job file, or a command line in
                                 quotes, 'fio --name=..' (repeatable)
          --kernels <NAME,NAME>  The locked kernels to run it on; the first is the baseline
          --section <NAME>       Only this section of the job file (repeatable)
      -D <VAR=VALUE>             Give ${VAR} in a job file a value (repeatable) [default: the
                                 environment's]
          --scale <auto|none>    Whether sizes and runtimes are scaled to the drive and the guest
          --overwrite            Write every file before the job writes to it

    Selection:
          --kernel <NAME=PATH[,modules=DIR]>
              Add your own kernel: bzImage or vmlinux, and the directory of its modules
          --vary <KEY=VALUE,...>
              Measure every kernel with each of these values of a scenario's key, too (repeatable: every
              combination)
          --baseline <NAME>
              Compare with this kernel (6.12), or with a kernel's variant (6.12+mq-deadline), instead of
              the scenario's baseline
          --only-kernel <NAME>
              Only this kernel, or this one with its variant, and the baseline (repeatable)
          --only-variant <NAME>
              Only this variant, or `as-written`, and the baseline (repeatable)
          --filesystem <NAME>
              Only this file system (repeatable)
          --workload <NAME>
              Only this workload (repeatable)
          --device <model|nvme|vfio:...|/dev/...>
              Run on this device instead of the scenario's
          --erase <SERIAL>
              The serial number of the drive that --device names: all data on it will be lost
          --repetitions <N>
              Number of repetitions per cell
          --blocks <N>
              Number of blocks of a session, in each of which every kernel is booted once and the
              baseline twice (metal lane)
          --seed <N>
              What decides the order of boots within blocks (metal lane) [default: one of the run's own]
          --runtime <TIME>
              Runtime of a repetition, and at most of a warm-up by time, where the scenario gives one
          --cmdline <WORD>
              Add a word to the guests' kernel command line (repeatable)

    Files:
          --share <[NAME=]DIR[,rw]>  Show the guests this directory as /share/NAME, read-only unless
                                     `,rw` is added (repeatable; not in the exact lane)
          --artifacts                Let the guests hand files back through /artifacts, into artifacts/
                                     in the run's directory (not in the exact lane)

    Measuring:
          --fresh      Measure every cell again, and replace the cached results
          --verify     Measure every cell again, and compare every digit and guest memory with the
                       cached results
      -j, --jobs <N>   How many virtual machines to run at once [default: one per core, as far as memory
                       allows]
          --fail-fast  Stop at the first cell that is not measured, instead of continuing with the
                       others
          --plain      Plain lines instead of progress bars
          --json       Print the results as JSON

    Inputs:
          --locked                   Fail if a locked file is gone, instead of using what the archive
                                     has now
          --offline                  Download nothing
          --qemu <lock|system|PATH>  Which QEMU to use: the locked one, the system's, or an executable
                                     [default: lock]
          --accel <auto|kvm|tcg>     What executes guests that run by the wall clock: KVM if a trial
                                     guest runs under it, else TCG [default: auto]
          --no-checkpoint            Boot for every cell instead of restoring checkpoints (slow, same
                                     digits)

    Places:
          --root <DIR>     The project's directory (scenarios/, kernels/, images/) [default: what the
                           program carries, if it does; else this directory or a parent] [env:
                           DIORAMA_ROOT]
          --cache <DIR>    Downloads, checkpoints and measured cells [default: the user's cache
                           directory] [env: DIORAMA_CACHE]
          --results <DIR>  Where runs are recorded [default: results/ in the project's directory; in
                           this one if the program carries the project]
    ");
}

#[test]
fn the_help_of_the_other_verbs() {
    let verbs = [
        "explain",
        "shell",
        "agree",
        "compare",
        "diff",
        "report",
        "plan",
        "lock",
        "fetch",
        "doctor",
        "devices",
        "push",
        "pull",
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
    insta::assert_snapshot!(all.join("\n\n====\n\n"), @"
    Show where a cell's instructions went, and what differs from another kernel

    Usage: diorama explain [OPTIONS] <CELL|RUN>

    Arguments:
      <CELL|RUN>  A cell, KERNEL/FILESYSTEM/WORKLOAD; or a run (its directory, its id, or `latest`), for
                  each of its cells that differs from the baseline

    Options:
          --against <KERNEL>  The kernel, or kernel and variant (6.12+mq-deadline), to compare it with
                              [default: the scenario's baseline]
      -f, --format <FORMAT>   Output format; files are written in every format [default: terminal]
                              [possible values: terminal, markdown, json, mail]
          --functions <N>     How many functions to show [default: 20]
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
      -h, --help              Print help (see more with '--help')

    Selection:
          --scenario <NAME>
              The cell's scenario: a file, or the name of one in scenarios/ [default: iomap-dio]
          --kernel <NAME=PATH[,modules=DIR]>
              Add your own kernel: bzImage or vmlinux, and the directory of its modules
          --vary <KEY=VALUE,...>
              Measure every kernel with each of these values of a scenario's key, too (repeatable: every
              combination)
          --repetitions <N>
              Number of repetitions of the cell
          --cmdline <WORD>
              Add a word to the guests' kernel command line (repeatable)

    fio jobs:
          --fio <FILE|COMMAND>   Run a fio job instead of a scenario: a job file, or a command line in
                                 quotes, 'fio --name=..' (repeatable)
          --kernels <NAME,NAME>  The locked kernels to run it on; the first is the baseline
          --section <NAME>       Only this section of the job file (repeatable)
      -D <VAR=VALUE>             Give ${VAR} in a job file a value (repeatable) [default: the
                                 environment's]
          --scale <auto|none>    Whether sizes and runtimes are scaled to the drive and the guest
          --overwrite            Write every file before the job writes to it

    Measuring:
      -j, --jobs <N>  How many virtual machines to run at once [default: one per core, as far as memory
                      allows]
          --plain     Plain lines instead of progress bars

    Inputs:
          --locked                   Fail if a locked file is gone, instead of using what the archive
                                     has now
          --offline                  Download nothing
          --qemu <lock|system|PATH>  Which QEMU to use: the locked one, the system's, or an executable
                                     [default: lock]
          --accel <auto|kvm|tcg>     What executes guests that run by the wall clock: KVM if a trial
                                     guest runs under it, else TCG [default: auto]
          --no-checkpoint            Boot for every cell instead of restoring checkpoints (slow, same
                                     digits)

    ====

    Open a shell in the guest that a cell would have

    Usage: diorama shell [OPTIONS] <KERNEL|NAME=PATH[,modules=DIR]>

    Arguments:
      <KERNEL|NAME=PATH[,modules=DIR]>  A kernel of the scenario, another locked one, or your own build

    Options:
      -c, --command <COMMAND>  Run this command instead of a shell, and exit as it does
          --color <WHEN>       When to use colours [default: auto] [possible values: auto, always,
                               never]
      -h, --help               Print help (see more with '--help')

    Selection:
          --scenario <NAME>
              The cell's scenario: a file, or the name of one in scenarios/ [default: iomap-dio]
          --filesystem <NAME>
              The cell's file system [default: the scenario's first]
          --workload <NAME>
              The cell's workload, whose files are laid out [default: the scenario's first]
          --device <model|nvme|vfio:...|/dev/...>
              Run on this device instead of the scenario's
          --erase <SERIAL>
              The serial number of the drive that --device names: all data on it will be lost
          --cmdline <WORD>
              Add a word to the guests' kernel command line (repeatable)

    Files:
          --share <[NAME=]DIR[,rw]>  Show the guests this directory as /share/NAME, read-only unless
                                     `,rw` is added (repeatable; not in the exact lane)

    Inputs:
          --locked                   Fail if a locked file is gone, instead of using what the archive
                                     has now
          --offline                  Download nothing
          --qemu <lock|system|PATH>  Which QEMU to use: the locked one, the system's, or an executable
                                     [default: lock]
          --accel <auto|kvm|tcg>     What executes guests that run by the wall clock: KVM if a trial
                                     guest runs under it, else TCG [default: auto]
          --no-checkpoint            Boot for every cell instead of restoring checkpoints (slow, same
                                     digits)

    ====

    Compare our engines with fio's: do they see the same kernel?

    Usage: diorama agree [OPTIONS]

    Options:
          --color <WHEN>  When to use colours [default: auto] [possible values: auto, always, never]
      -h, --help          Print help (see more with '--help')

    Selection:
          --only-kernel <NAME>  Only this kernel, or this one with its variant, and the baseline
                                (repeatable)

    Measuring:
          --fresh      Measure every cell again, and replace the cached results
          --verify     Measure every cell again, and compare every digit and guest memory with the
                       cached results
      -j, --jobs <N>   How many virtual machines to run at once [default: one per core, as far as memory
                       allows]
          --fail-fast  Stop at the first cell that is not measured, instead of continuing with the
                       others
          --plain      Plain lines instead of progress bars
          --json       Print the results as JSON

    Inputs:
          --locked                   Fail if a locked file is gone, instead of using what the archive
                                     has now
          --offline                  Download nothing
          --qemu <lock|system|PATH>  Which QEMU to use: the locked one, the system's, or an executable
                                     [default: lock]
          --accel <auto|kvm|tcg>     What executes guests that run by the wall clock: KVM if a trial
                                     guest runs under it, else TCG [default: auto]
          --no-checkpoint            Boot for every cell instead of restoring checkpoints (slow, same
                                     digits)

    ====

    Compare recorded runs in one set of tables

    Usage: diorama compare [OPTIONS] <RUN>...

    Arguments:
      <RUN>...  A run's directory, its id, or `latest`; several are shown one below the other

    Options:
          --baseline <NAME>  Compare with this kernel instead of the scenario's baseline
      -v, --verbose          Show all figures with their ranges, and all costs
          --json             Print the comparison as JSON
          --color <WHEN>     When to use colours [default: auto] [possible values: auto, always, never]
      -h, --help             Print help (see more with '--help')

    ====

    Say which inputs and which results of two recorded runs differ, and nothing else

    Usage: diorama diff [OPTIONS] <A> <B>

    Arguments:
      <A>  A run's directory, its id, or `latest`
      <B>  The run to compare it with

    Options:
      -v, --verbose       Name every digit that differs, not only the first few of each cell
          --json          Print all differences as JSON
          --color <WHEN>  When to use colours [default: auto] [possible values: auto, always, never]
      -h, --help          Print help (see more with '--help')

    ====

    Render a recorded run

    Usage: diorama report [OPTIONS] <RUN>

    Arguments:
      <RUN>  A run's directory, its id, or `latest`

    Options:
      -f, --format <FORMAT>  Output format [default: terminal] [possible values: terminal, markdown,
                             org, csv, json, junit, svg, png]
      -v, --verbose          Show all figures with their ranges, all costs and all claims; files always
                             have them
      -o, --output <FILE>    Write to this file instead of standard output
          --color <WHEN>     When to use colours [default: auto] [possible values: auto, always, never]
      -h, --help             Print help (see more with '--help')

    ====

    Show a scenario's cells, their input digests and what is cached, without measuring

    Usage: diorama plan [OPTIONS] [SCENARIO]

    Arguments:
      [SCENARIO]  A scenario file, or the name of one in scenarios/ [default: iomap-dio]

    Options:
          --color <WHEN>  When to use colours [default: auto] [possible values: auto, always, never]
          --json          Print the plan as JSON
      -h, --help          Print help (see more with '--help')

    fio jobs:
          --fio <FILE|COMMAND>   Run a fio job instead of a scenario: a job file, or a command line in
                                 quotes, 'fio --name=..' (repeatable)
          --kernels <NAME,NAME>  The locked kernels to run it on; the first is the baseline
          --section <NAME>       Only this section of the job file (repeatable)
      -D <VAR=VALUE>             Give ${VAR} in a job file a value (repeatable) [default: the
                                 environment's]
          --scale <auto|none>    Whether sizes and runtimes are scaled to the drive and the guest
          --overwrite            Write every file before the job writes to it

    Selection:
          --kernel <NAME=PATH[,modules=DIR]>
              Add your own kernel: bzImage or vmlinux, and the directory of its modules
          --vary <KEY=VALUE,...>
              Measure every kernel with each of these values of a scenario's key, too (repeatable: every
              combination)
          --baseline <NAME>
              Compare with this kernel (6.12), or with a kernel's variant (6.12+mq-deadline), instead of
              the scenario's baseline
          --only-kernel <NAME>
              Only this kernel, or this one with its variant, and the baseline (repeatable)
          --only-variant <NAME>
              Only this variant, or `as-written`, and the baseline (repeatable)
          --filesystem <NAME>
              Only this file system (repeatable)
          --workload <NAME>
              Only this workload (repeatable)
          --device <model|nvme|vfio:...|/dev/...>
              Run on this device instead of the scenario's
          --erase <SERIAL>
              The serial number of the drive that --device names: all data on it will be lost
          --repetitions <N>
              Number of repetitions per cell
          --blocks <N>
              Number of blocks of a session, in each of which every kernel is booted once and the
              baseline twice (metal lane)
          --seed <N>
              What decides the order of boots within blocks (metal lane) [default: one of the run's own]
          --runtime <TIME>
              Runtime of a repetition, and at most of a warm-up by time, where the scenario gives one
          --cmdline <WORD>
              Add a word to the guests' kernel command line (repeatable)

    Files:
          --share <[NAME=]DIR[,rw]>  Show the guests this directory as /share/NAME, read-only unless
                                     `,rw` is added (repeatable; not in the exact lane)
          --artifacts                Let the guests hand files back through /artifacts, into artifacts/
                                     in the run's directory (not in the exact lane)

    Inputs:
          --locked                   Fail if a locked file is gone, instead of using what the archive
                                     has now
          --offline                  Download nothing
          --qemu <lock|system|PATH>  Which QEMU to use: the locked one, the system's, or an executable
                                     [default: lock]
          --accel <auto|kvm|tcg>     What executes guests that run by the wall clock: KVM if a trial
                                     guest runs under it, else TCG [default: auto]
          --no-checkpoint            Boot for every cell instead of restoring checkpoints (slow, same
                                     digits)

    ====

    Resolve kernels and tools to files in Debian's archive, and write the lock files

    Usage: diorama lock [OPTIONS]

    Options:
          --update <NAME>  Resolve only this kernel or tool set again (repeatable) [default: all]
          --allow-older    Accept packages older than those currently locked
          --check          Write nothing; fail if the lock does not match the definitions or a file is
                           gone
          --color <WHEN>   When to use colours [default: auto] [possible values: auto, always, never]
      -h, --help           Print help (see more with '--help')

    ====

    Download everything a scenario needs, for working offline

    Usage: diorama fetch [OPTIONS] [SCENARIO]

    Arguments:
      [SCENARIO]  A scenario file, or the name of one in scenarios/ [default: iomap-dio]

    Options:
          --tool-set <NAME>  Also this tool set of images/lock.toml (repeatable)
          --locked           Fail if a locked file is gone, instead of using what the archive has now
          --plain            Plain lines instead of progress bars
          --color <WHEN>     When to use colours [default: auto] [possible values: auto, always, never]
      -h, --help             Print help (see more with '--help')

    fio jobs:
          --fio <FILE|COMMAND>   Run a fio job instead of a scenario: a job file, or a command line in
                                 quotes, 'fio --name=..' (repeatable)
          --kernels <NAME,NAME>  The locked kernels to run it on; the first is the baseline
          --section <NAME>       Only this section of the job file (repeatable)
      -D <VAR=VALUE>             Give ${VAR} in a job file a value (repeatable) [default: the
                                 environment's]
          --scale <auto|none>    Whether sizes and runtimes are scaled to the drive and the guest
          --overwrite            Write every file before the job writes to it

    ====

    Check what this host can do, and how to fix the rest

    Usage: diorama doctor [OPTIONS]

    Options:
          --json                     Print the checks as JSON
          --qemu <lock|system|PATH>  Which QEMU to try KVM with: the locked one, the system's, or an
                                     executable [default: lock]
          --offline                  Do not use the network
          --color <WHEN>             When to use colours [default: auto] [possible values: auto, always,
                                     never]
      -h, --help                     Print help (see more with '--help')

    ====

    List this host's NVMe controllers, and whether a guest could have them

    Usage: diorama devices [OPTIONS]
           diorama devices <COMMAND>

    Commands:
      restore  Give devices back to their drivers that a run which was killed left bound to vfio-pci

    Options:
          --json          Print the list as JSON
          --color <WHEN>  When to use colours [default: auto] [possible values: auto, always, never]
      -h, --help          Print help (see more with '--help')

    ====

    Send an image to an OCI registry

    Usage: diorama push [OPTIONS] <FILE> <oci://HOST/NAME:TAG>

    Arguments:
      <FILE>                 The image
      <oci://HOST/NAME:TAG>  Where to: oci://HOST/NAME:TAG

    Options:
          --plain         Plain lines instead of progress bars
          --color <WHEN>  When to use colours [default: auto] [possible values: auto, always, never]
      -h, --help          Print help (see more with '--help')

    ====

    Fetch an image from an OCI registry, or by https, into a file

    Usage: diorama pull [OPTIONS] --output <FILE> <REFERENCE>

    Arguments:
      <REFERENCE>  oci://HOST/NAME:TAG, oci://HOST/NAME@sha256:DIGEST, or
                   https://HOST/FILE#sha256=DIGEST

    Options:
      -o, --output <FILE>  The file to write
          --plain          Plain lines instead of progress bars
          --color <WHEN>   When to use colours [default: auto] [possible values: auto, always, never]
      -h, --help           Print help (see more with '--help')

    ====

    Show, shrink or clear the cache

    Usage: diorama cache [OPTIONS] <COMMAND>

    Commands:
      list    List what is in it, with sizes
      shrink  Remove the least recently used entries until it is no larger than this
      clear   Remove everything

    Options:
          --color <WHEN>  When to use colours [default: auto] [possible values: auto, always, never]
      -h, --help          Print help (see more with '--help')

    ====

    Print shell completions

    Usage: diorama completions [OPTIONS] <SHELL>

    Arguments:
      <SHELL>  The shell [possible values: bash, elvish, fish, powershell, zsh]

    Options:
          --color <WHEN>  When to use colours [default: auto] [possible values: auto, always, never]
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
