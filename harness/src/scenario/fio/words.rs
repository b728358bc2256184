//! A workload of ours in fio's words: the job file that asks fio for the same I/O (pure).

use diorama_wire::{Bound, Fio, FioFile, Layout, Sync, Workload};

/// The job file, one job per thread, each with its own file; or one with as many clones on one file.
///
/// # Errors
/// When fio has no word for something.
pub fn jobs(workload: &Workload) -> Result<Fio, &'static str> {
    if workload.sync == Sync::RwfDsync {
        return Err("fio has no option for RWF_DSYNC");
    }
    let name = |i: u32| match workload.shares_a_file() {
        true => workload.filename.clone(),
        false => format!("file{i}"),
    };
    let files: Vec<FioFile> = (0..workload.files())
        .map(|i| FioFile {
            name: name(i),
            size: workload.file_length(),
            layout: workload.layout,
            read_only: !workload.rw.writes(),
            at: 0,
        })
        .collect();
    let mut text = String::from("[global]\n");
    for (key, value) in options(workload) {
        text.push_str(&format!("{key}={value}\n"));
    }
    if workload.shares_a_file() && workload.numjobs > 1 {
        text.push_str(&format!("numjobs={}\n", workload.numjobs));
        if workload.offset_increment != 0 {
            text.push_str(&format!("offset_increment={}\n", workload.offset_increment));
        }
    }
    for file in &files {
        text.push_str(&format!("[{}]\nfilename={}\n", file.name, file.name));
    }
    Ok(Fio { jobs: text, files })
}

/// What all threads share. fio's defaults are left out, but for those that decide what is measured.
fn options(w: &Workload) -> Vec<(&'static str, String)> {
    let mut out: Vec<(&'static str, String)> = Vec::new();
    let mut add = |key, value: &dyn ToString| out.push((key, value.to_string()));
    add("ioengine", &w.engine.name());
    add("direct", &1);
    add("thread", &1);
    add("rw", &w.rw.name());
    add("bs", &w.block_size);
    add("iodepth", &w.iodepth);
    if w.batch.submit != 1 {
        add("iodepth_batch", &w.batch.submit);
    }
    if w.batch.complete_min != 1 {
        add("iodepth_batch_complete_min", &w.batch.complete_min);
    }
    if w.batch.complete_max != 1 {
        add("iodepth_batch_complete_max", &w.batch.complete_max);
    }
    if w.rw.is_mixed() {
        add("rwmixread", &w.rwmixread);
    }
    if w.rw.is_mixed() || w.rw.is_random() {
        add("randseed", &w.randseed);
    }
    let moved = match w.bound {
        Bound::Ios(ios) => Some(ios.saturating_mul(w.block_size.into())),
        Bound::Runtime(_) => None,
    };
    match w.layout {
        Layout::Written => {
            add("size", &w.file_size);
            add("overwrite", &1);
        }
        Layout::Unwritten => {
            add("size", &w.file_size);
            add("fallocate", &"native");
        }
        Layout::Extending => {
            add("size", &moved.unwrap_or(w.file_size));
            add("fallocate", &"none");
        }
        Layout::Append => {
            add("size", &moved.unwrap_or(w.file_size));
            add("file_append", &1);
            add("fallocate", &"none");
        }
    }
    match (w.bound, moved) {
        (Bound::Runtime(ns), _) => {
            add("time_based", &1);
            add("runtime", &format!("{}us", ns / 1000));
        }
        // number_ios alone ends at the size; io_size goes round.
        (Bound::Ios(_), Some(bytes)) if w.layout == Layout::Written => add("io_size", &bytes),
        (Bound::Ios(ios), _) => add("number_ios", &ios),
    }
    if w.sync == Sync::Dsync {
        add("sync", &"dsync");
    }
    if w.fdatasync != 0 {
        add("fdatasync", &w.fdatasync);
    }
    for (key, on) in [
        ("fixedbufs", w.io_uring.fixedbufs),
        ("registerfiles", w.io_uring.registerfiles),
        ("hipri", w.io_uring.hipri),
    ] {
        if on {
            add(key, &1);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use diorama_wire::{Batch, Engine, IoUring, Rw};

    fn workload(engine: Engine, rw: Rw) -> Workload {
        Workload::new(engine, rw, 4096, 64, 1 << 20, Bound::Runtime(500_000_000))
    }

    fn text(workload: &Workload) -> String {
        jobs(workload).unwrap().jobs
    }

    #[test]
    fn the_reports_own_job_is_its_command_line() {
        insta::assert_snapshot!(text(&workload(Engine::Libaio, Rw::Write)), @r"
        [global]
        ioengine=libaio
        direct=1
        thread=1
        rw=write
        bs=4096
        iodepth=64
        size=1048576
        overwrite=1
        time_based=1
        runtime=500000us
        [file0]
        filename=file0
        ");
    }

    #[test]
    fn a_block_of_any_length_is_fios_bs_and_its_file_whole_blocks() {
        let w = Workload {
            block_size: 12 << 10,
            file_size: 5461 * (12 << 10),
            bound: Bound::Ios(1000),
            ..workload(Engine::Libaio, Rw::Randwrite)
        };
        let text = text(&w);
        let has = |line: &str| text.lines().any(|l| l == line);
        assert!(has("bs=12288") && has("size=67104768"), "{text}");
        assert!(has("io_size=12288000"), "{text}");
    }

    #[test]
    fn every_option_has_fios_word() {
        let all = Workload {
            rwmixread: 70,
            randseed: 7,
            batch: Batch {
                submit: 8,
                complete_min: 2,
                complete_max: 16,
            },
            numjobs: 2,
            sync: Sync::Dsync,
            fdatasync: 32,
            io_uring: IoUring {
                fixedbufs: true,
                registerfiles: true,
                hipri: true,
            },
            bound: Bound::Ios(1000),
            ..workload(Engine::IoUring, Rw::Randrw)
        };
        insta::assert_snapshot!(text(&all), @r"
        [global]
        ioengine=io_uring
        direct=1
        thread=1
        rw=randrw
        bs=4096
        iodepth=64
        iodepth_batch=8
        iodepth_batch_complete_min=2
        iodepth_batch_complete_max=16
        rwmixread=70
        randseed=7
        size=1048576
        overwrite=1
        io_size=4096000
        sync=dsync
        fdatasync=32
        fixedbufs=1
        registerfiles=1
        hipri=1
        [file0]
        filename=file0
        [file1]
        filename=file1
        ");
    }

    #[test]
    fn threads_on_one_file_are_clones_of_a_job() {
        let w = Workload {
            numjobs: 3,
            filename: "shared".into(),
            offset_increment: 1 << 19,
            ..workload(Engine::Libaio, Rw::Write)
        };
        let fio = jobs(&w).unwrap();
        let end: Vec<_> = fio
            .jobs
            .lines()
            .skip_while(|l| !l.starts_with("numjobs"))
            .collect();
        let wanted = [
            "numjobs=3",
            "offset_increment=524288",
            "[shared]",
            "filename=shared",
        ];
        assert_eq!(end, wanted);
        let files: Vec<_> = fio
            .files
            .iter()
            .map(|f| (f.name.as_str(), f.size))
            .collect();
        assert_eq!(files, [("shared", 2 << 20)]);
    }

    #[test]
    fn every_layout_begins_with_its_file() {
        let of = |layout| {
            let w = Workload {
                layout,
                bound: Bound::Ios(100),
                file_size: if layout == Layout::Extending {
                    0
                } else {
                    1 << 20
                },
                ..workload(Engine::Psync, Rw::Write)
            };
            let fio = jobs(&w).unwrap();
            let lines = fio.jobs.lines().skip_while(|l| !l.starts_with("size"));
            let lines: Vec<_> = lines.take_while(|l| !l.starts_with('[')).collect();
            (lines.join(" "), fio.files[0].size)
        };
        assert_eq!(
            of(Layout::Written),
            ("size=1048576 overwrite=1 io_size=409600".into(), 1 << 20)
        );
        assert_eq!(
            of(Layout::Unwritten),
            (
                "size=1048576 fallocate=native number_ios=100".into(),
                1 << 20
            )
        );
        assert_eq!(
            of(Layout::Extending),
            ("size=409600 fallocate=none number_ios=100".into(), 0)
        );
        assert_eq!(
            of(Layout::Append),
            (
                "size=409600 file_append=1 fallocate=none number_ios=100".into(),
                1 << 20
            )
        );
    }

    #[test]
    fn what_fio_has_no_word_for_is_refused() {
        let w = Workload {
            sync: Sync::RwfDsync,
            ..workload(Engine::Psync, Rw::Write)
        };
        assert!(jobs(&w).unwrap_err().contains("RWF_DSYNC"));
    }
}
