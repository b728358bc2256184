//! A boot to its checkpoint against the least that a boot can be.

use super::lab::{Lab, median, show, watch};
use diorama::{
    digest::Sha256,
    error::{Error, Result},
    image::cpio::Archive,
    vm::{Contents, Handover, Machine, Spec, Start, memory::GuestRam},
};
use std::fs;

const KERNELS: [&str; 3] = ["5.10", "6.12", "7.2"];

/// Size of the raw guest's initramfs in bytes, most of it padding that the kernel unpacks.
const RAW_INITRAMFS: usize = 1 << 20;

/// Boots each kernel in turns with the cells' initramfs and with the raw one.
pub fn measure(lab: &Lab, runs: usize) -> Result<()> {
    let init = lab.compile(
        "init.rs",
        &[
            "--crate-type",
            "bin",
            "-C",
            "relocation-model=static",
            "-C",
            "link-arg=-static",
        ],
    )?;
    let init = fs::read(&init).map_err(|e| Error::io("reading", &init, e))?;
    let mut archive = Archive::default();
    let padding = RAW_INITRAMFS.saturating_sub(init.len());
    archive.file("init", 0o755, init);
    archive.file("padding", 0o644, vec![0x5a; padding]);
    let initramfs = lab.scratch.path().join("raw.cpio");
    let bytes = archive.to_bytes();
    fs::write(&initramfs, &bytes).map_err(|e| Error::io("writing", &initramfs, e))?;

    println!("\nBoot to the checkpoint, CPU seconds of QEMU ({runs} pairs in turns)");
    println!("kernel  with the agent       raw                  ratio (goal 1.5)");
    let mut phases = Vec::new();
    for name in KERNELS {
        let (_, machine) = lab.kernel(name)?;
        let raw = Spec {
            initramfs: initramfs.clone(),
            initramfs_sha256: Sha256::of(&bytes),
            ..machine.spec.clone()
        };
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let mut of_phases = Vec::new();
        for _ in 0..runs {
            let marks = lab.block_on(boot(lab, &machine.spec))?;
            let ours_now = marks.last().map_or(f64::NAN, |m| m.cpu_s);
            let raw_now = lab.block_on(boot(lab, &raw))?;
            let raw_now = raw_now.last().map_or(f64::NAN, |m| m.cpu_s);
            ours.push(ours_now);
            theirs.push(raw_now);
            ratios.push(ours_now / raw_now);
            of_phases.push(marks);
        }
        println!(
            "{name:6}  {:19}  {:19}  {}",
            show(&ours),
            show(&theirs),
            show(&ratios)
        );
        let last = of_phases.first().map_or(0, Vec::len);
        let text: Vec<String> = (0..last)
            .map(|i| {
                let at: Vec<f64> = of_phases
                    .iter()
                    .filter_map(|m| Some(m.get(i)?.cpu_s))
                    .collect();
                format!("{} {:.2}", of_phases[0][i].phase, median(&at).0)
            })
            .collect();
        phases.push(format!("{name:6}  {}", text.join(", ")));
    }
    println!("reached after CPU seconds:\n{}", phases.join("\n"));
    Ok(())
}

async fn boot(lab: &Lab, spec: &Spec) -> Result<Vec<super::lab::Mark>> {
    let ram = GuestRam::create(u64::from(spec.memory_mib) << 20)?;
    let mut machine = Machine::start(
        lab.vmm(),
        spec,
        Start::Boot,
        Contents::exact(ram, b""),
        lab.cpu,
    )
    .await?;
    let marks = watch(&mut machine, Handover::Ready).await;
    machine.end().await;
    marks
}
