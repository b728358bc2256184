//! fio as a workload: a user's own job file in real guests, and what is refused before any boots.

use crate::common::{Lab, digits, text};

/// Two jobs of one file, on both sides of v6.19; measured afresh, and verified.
#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn two_jobs_of_a_users_file_run_and_are_exact() {
    let Some(lab) = Lab::open("two_jobs_of_a_users_file_run_and_are_exact") else {
        return;
    };
    let measured = digits(&lab.measure(&["fio-example", "--fresh"], 0));
    assert_eq!(measured.len(), 2);
    for (cell, exact) in &measured {
        let guest = &exact["guest"];
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        for (jobs, repetition) in (guest["fio"]["repetitions"].as_array().expect("runs"))
            .iter()
            .zip(guest["repetitions"].as_array().expect("repetitions"))
        {
            let (reader, writer) = (&jobs[0], &jobs[1]);
            assert_eq!(
                (&reader["name"], &writer["name"]),
                (&"reader".into(), &"writer".into())
            );
            assert!(
                number(&reader["reads"]) > 1000 && number(&reader["writes"]) == 0,
                "{jobs}"
            );
            assert!(
                number(&writer["writes"]) > 1000 && number(&writer["reads"]) == 0,
                "{jobs}"
            );
            let both = number(&reader["reads"]) + number(&writer["writes"]);
            assert_eq!(number(&repetition["ios"]), both, "{cell}");
            let bytes = number(&repetition["device_sectors"]) * 512;
            assert!(
                bytes >= both * 4096,
                "{cell}: {bytes} bytes passed the device"
            );
        }
        // What was only read is checked block by block: 16 MiB of 4 KiB.
        assert_eq!(
            number(&guest["evidence"]["verified_blocks"]),
            4096,
            "{cell}"
        );
    }
    let verified = text(&lab.run(&["repro", "fio-example", "--verify", "--plain"]));
    assert!(
        verified.contains("verify: 2 of 2 cells identical"),
        "{verified}"
    );
}

/// By job, option and reason, and before anything boots.
#[test]
fn a_job_that_cannot_work_here_is_refused_before_any_boot() {
    let test = "a_job_that_cannot_work_here_is_refused_before_any_boot";
    let Some(lab) = Lab::open(test) else { return };
    let scenario = lab.scenario("fio-example");
    let path = lab.write(
        "mine.toml",
        &scenario.replace("jobs/example.fio", "mine.fio"),
    );
    let jobs =
        "[global]\ndirect=1\nsize=16m\n[ceph]\nioengine=rbd\n[two]\nfilename=/dev/a:/dev/b\n";
    lab.write("mine.fio", jobs);
    let output = lab.run(&["run", &path, "--plain"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("mine.fio:5: job `ceph`, `ioengine=rbd`"),
        "{said}"
    );
    assert!(
        said.contains("mine.fio:7: job `two`, `filename=/dev/a:/dev/b`: it names several files"),
        "{said}"
    );
    assert!(!said.contains("boot"), "{said}");

    // What only fio knows, in fio's words.
    let jobs = "[j]\nioengine=libaio\ndirect=1\nsize=16m\niodepth=0\nrandom_distribution=zopf\nrw=randread\n";
    lab.write("mine.fio", jobs);
    let output = lab.run(&["plan", &path]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("mine.fio:5: fio refuses `iodepth=0`: iodepth: min value out of range"),
        "{said}"
    );
    assert!(
        said.contains("mine.fio:6: fio refuses `random_distribution=zopf`: it cannot read it; use one of random, zipf"),
        "{said}"
    );

    std::fs::remove_file(lab.results().join("mine.fio")).expect("the job file, removed");
    let said = text(&lab.run(&["run", &path, "--plain"]));
    assert!(said.contains("`mine.fio` cannot be read"), "{said}");
}

/// A scenario of job files by name, written beside each other; returns its path.
fn scenario(lab: &Lab, name: &str, kernels: &str, jobs: &[(&str, &str)]) -> String {
    let mut text = format!(
        "name = \"{name}\"\ntitle = \"{name}\"\nbaseline = \"7.2\"\nkernels = [{kernels}]\n\
         [measure]\nrepetitions = 2\n[filesystems.ext4]\n"
    );
    for (workload, job) in jobs {
        let file = format!("{name}-{workload}.fio");
        lab.write(&file, job);
        text.push_str(&format!("[workloads.{workload}]\nfio = \"{file}\"\n"));
    }
    lab.write(&format!("{name}.toml"), &text)
}

/// fio's default is a process for each job; offsets and filesize decide how long a file must be;
/// comments end values. In each case fio must use the file that was audited, or the agent says
/// WRONG RESULT and the run does not end with 0.
#[test]
fn published_kinds_of_job_files_run_over_the_audited_file() {
    let test = "published_kinds_of_job_files_run_over_the_audited_file";
    let Some(lab) = Lab::open(test) else { return };
    let job = |more: &str| {
        format!(
            "[j]\nioengine=libaio\ndirect=1\nbs=4k\niodepth=8\nrw=randread\nnumber_ios=1000\n{more}"
        )
    };
    // The user time of these two is looked at, and the kernel samples it at its tick, 4 ms: 80 ms.
    let long = |more: &str| job(more).replace("number_ios=1000", "number_ios=4096");
    let jobs = [
        ("process", long("size=16m\n")),
        ("thread", long("size=16m\nthread\n")),
        ("offset", job("size=8m\noffset=4m\n")),
        ("filesize", job("size=8m\nfilesize=16m\n")),
        ("comment", job("size=16m ; MiB\nfilename=data ; the file\n")),
        (
            "clones",
            job(
                "size=4m\nrw=randwrite\noverwrite=1\nfilename=data\nnumjobs=3\noffset_increment=4m\n",
            ),
        ),
    ];
    let jobs: Vec<_> = jobs
        .iter()
        .map(|(name, job)| (*name, job.as_str()))
        .collect();
    let path = scenario(&lab, "kinds", "\"7.2\"", &jobs);
    let measured = digits(&lab.measure(&[&path, "--fresh"], 0));
    assert_eq!(measured.len(), jobs.len());
    let cell = |workload: &str| {
        let found = measured
            .iter()
            .find(|(name, _)| name.ends_with(&format!("/{workload}")));
        &found.expect("a cell").1["guest"]
    };
    let number = |value: &serde_json::Value| value.as_u64().expect("a number");
    let blocks = |workload: &str| number(&cell(workload)["evidence"]["verified_blocks"]);
    assert_eq!((blocks("process"), blocks("thread")), (4096, 4096));
    assert_eq!((blocks("offset"), blocks("filesize")), (3072, 4096));
    assert_eq!((blocks("comment"), blocks("clones")), (4096, 0));
    for (workload, ios) in [("process", 4096), ("offset", 1000), ("clones", 3000)] {
        for repetition in cell(workload)["repetitions"]
            .as_array()
            .expect("repetitions")
        {
            assert_eq!(number(&repetition["ios"]), ios, "{workload}: {repetition}");
        }
    }
    // A process does for an I/O what a thread does. Over all repetitions: the kernel's tick may miss all
    // user time of one.
    let per_io = |workload: &str, counter: &str| {
        let all = cell(workload)["repetitions"].as_array().expect("some");
        let sum = |counter: &str| all.iter().map(|r| number(&r[counter])).sum::<u64>() as f64;
        sum(counter) / sum("span_ios")
    };
    for (counter, within) in [("context_switches", 0.05), ("interrupts", 0.05)] {
        let (process, thread) = (per_io("process", counter), per_io("thread", counter));
        assert!(
            (process - thread).abs() < within,
            "{counter}: {process}, {thread}"
        );
    }
    let (process, thread) = (per_io("process", "user_ns"), per_io("thread", "user_ns"));
    assert!(
        process > 500.0 && thread > 500.0,
        "user time: {process}, {thread}"
    );
}

/// A kernel without polled queues must not be compared with one that has them.
#[test]
fn polled_completions_of_a_job_file_are_polled_or_unsupported() {
    let test = "polled_completions_of_a_job_file_are_polled_or_unsupported";
    let Some(lab) = Lab::open(test) else { return };
    let job = "[j]\nioengine=io_uring\nhipri\ndirect=1\nbs=4k\niodepth=8\nrw=randread\nsize=4m\nnumber_ios=1000\n";
    let path = scenario(&lab, "polled", "\"5.10\", \"7.2\"", &[("hipri", job)]);
    let output = lab.run(&["run", &path, "--plain"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("polled completion"), "{said}");
    assert!(!said.contains("7.2/ext4/hipri: unsupported"), "{said}");
}

/// The job files of tests/jobs, each as it is: fio itself accepts what it would be given, and some of
/// them run.
#[test]
fn published_jobs_need_no_scenario_and_no_changes() {
    let test = "published_jobs_need_no_scenario_and_no_changes";
    let Some(lab) = Lab::open(test) else { return };
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs");
    let entries = std::fs::read_dir(&dir).expect("the job files");
    let names = entries.map(|e| e.expect("an entry").path().display().to_string());
    let mut jobs: Vec<String> = names.filter(|name| name.ends_with(".fio")).collect();
    jobs.sort();
    assert!(jobs.len() >= 20, "{jobs:?}");
    let kernels = ["--kernels", "7.2", "-D", "DEPTH=8", "-D", "STEP=100G"];
    let mut words = vec!["plan"];
    words.extend(jobs.iter().flat_map(|job| ["--fio", job.as_str()]));
    words.extend(kernels);
    let output = lab.run(&words);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for cell in [
        "7.2/ext4/two-groups-seq-read",
        "7.2/ext4/zones",
        "7.2/ext4/spaces-a-b",
    ] {
        assert!(said.contains(cell), "{said}");
    }

    let job = |name: &str| dir.join(format!("{name}.fio")).display().to_string();
    let groups = job("spaces");
    let line =
        "fio --name=pasted --ioengine=libaio --direct=1 --rw=randread --size=1G --number_ios=1000";
    let mut words = vec!["--fio", &groups, "--fio", line];
    words.extend(kernels);
    words.extend(["--repetitions", "1"]);
    let results = lab.measure(&words, 0);
    let measured = digits(&results);
    let cells: Vec<&str> = measured.keys().map(String::as_str).collect();
    assert_eq!(
        cells,
        [
            "7.2/ext4/fio",
            "7.2/ext4/spaces-My-Job-1",
            "7.2/ext4/spaces-a-b"
        ]
    );
    let notes = results["notes"].to_string();
    assert!(
        notes.contains("size 1 GiB -> 128 MiB: of every job, by one factor"),
        "{notes}"
    );
}
