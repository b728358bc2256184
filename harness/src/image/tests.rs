//! Whole images from a kernel, tools and an agent made by hand.

use super::*;
use crate::kernel::{self, ModuleSet, modules};
use diorama_wire::FsKind;

/// The smallest 64-bit ELF file: a header without segments, so static.
fn static_program() -> Vec<u8> {
    let mut elf = vec![0; 64];
    elf[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    elf[0x10] = 2;
    elf[0x12] = 62;
    elf[0x34] = 64;
    elf[0x36] = 56;
    elf
}

struct Inputs {
    dir: tempfile::TempDir,
    kernel: Kernel,
}

impl Inputs {
    fn new() -> Inputs {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for directory in ["modules", "tools/usr/sbin", "tools/etc"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::write(at("agent"), static_program()).unwrap();
        fs::write(at("tools/usr/sbin/mkfs.ext4"), static_program()).unwrap();
        fs::write(at("tools/etc/mke2fs.conf"), "[defaults]\n").unwrap();
        let mut module_set = ModuleSet::default();
        for (name, depends) in [("configfs", vec![]), ("null_blk", vec!["configfs"])] {
            let bytes = strip::tests::module(name);
            fs::write(at("modules").join(format!("{name}.ko")), &bytes).unwrap();
            let module = modules::KernelModule {
                name: name.to_owned(),
                sha256: Sha256::of(&bytes),
                depends: depends.into_iter().map(str::to_owned).collect(),
                soft: vec![],
                parameters: vec![],
                release: None,
            };
            module_set.modules.insert(name.to_owned(), module);
        }
        let kernel = Kernel {
            release: Some("6.1.0".to_owned()),
            build: None,
            boot: kernel::BootBy::Pvh,
            image: at("vmlinux"),
            image_sha256: Sha256::of(b""),
            modules: Some(at("modules")),
            module_set,
            config: None,
            dir: at(""),
        };
        Inputs { dir, kernel }
    }

    fn build(&self, out: &str, strip_modules: bool) -> Result<Image> {
        let agent = self.dir.path().join("agent");
        let bytes = fs::read(&agent).unwrap();
        let spec = ImageSpec {
            agent: (&agent, &bytes),
            kernel: &self.kernel,
            tools: &[("guest-tools", self.dir.path().join("tools"))].into(),
            fio: None,
            needs: Needs {
                filesystems: vec![FsKind::Ext4],
                ..Needs::default()
            },
            stop_by: StopBy::Pvpanic,
            strip_modules,
            clock: Clock::Instructions,
            shares: &[],
        };
        build(&spec, &self.dir.path().join(out))
    }
}

#[test]
fn equal_inputs_give_equal_images() {
    let (one, two) = (Inputs::new(), Inputs::new());
    let a = one.build("out", true).unwrap();
    let b = two.build("elsewhere/out", true).unwrap();
    assert_eq!(a.sha256, b.sha256);
    assert_eq!(a, load(a.initramfs.parent().unwrap()).unwrap());
    let bytes = fs::read(&a.initramfs).unwrap();
    assert_eq!((a.sha256, a.size), (Sha256::of(&bytes), bytes.len() as u64));
    assert!(a.modules.iter().all(|module| module.stripped));
    let parameters: Vec<_> = a
        .boot
        .modules
        .iter()
        .map(|m| (&*m.name, &*m.params))
        .collect();
    assert_eq!(parameters, [("configfs", ""), ("null_blk", "nr_devices=0")]);
}

#[test]
fn modules_stay_signed_where_the_kernel_insists() {
    let mut inputs = Inputs::new();
    let plain = inputs.build("plain", false).unwrap();
    inputs.kernel.config = Some(kernel::Config::parse("CONFIG_MODULE_SIG_FORCE=y\n"));
    let image = inputs.build("out", true).unwrap();
    let digests = |image: &Image| image.modules.iter().map(|m| m.sha256).collect::<Vec<_>>();
    assert_eq!(digests(&image), digests(&plain));
    assert_eq!(
        image.modules[0].note.as_deref(),
        Some("the kernel accepts only signed modules")
    );
}

#[test]
fn a_kernel_without_port_io_runs_through_once() {
    let mut inputs = Inputs::new();
    inputs.kernel.config = Some(kernel::Config::parse("CONFIG_X86=y\n"));
    let image = inputs.build("out", true).unwrap();
    assert!(!image.can_stop_itself);
    assert_eq!(image.boot.stop_by, StopBy::None);
}

#[test]
fn a_dynamic_agent_is_refused() {
    let inputs = Inputs::new();
    let me = std::env::current_exe().unwrap();
    fs::copy(me, inputs.dir.path().join("agent")).unwrap();
    let error = inputs.build("out", true).unwrap_err().render();
    assert!(
        error.contains("but the guest's /init must be static"),
        "{error}"
    );
}

#[test]
fn a_module_changed_in_the_cache_is_refused() {
    let inputs = Inputs::new();
    let module = inputs.dir.path().join("modules/null_blk.ko");
    let mut bytes = fs::read(&module).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&module, bytes).unwrap();
    let error = inputs.build("out", true).unwrap_err();
    assert_eq!(error.exit(), crate::error::Exit::Fetch);
    assert!(
        error
            .to_string()
            .ends_with("null_blk.ko was changed after it was prepared")
    );
}

#[test]
fn a_job_is_appended_as_an_archive_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (first, out) = (dir.path().join("a"), dir.path().join("b"));
    fs::write(&first, b"12345").unwrap();
    let job: Job = serde_json::from_str(JOB).unwrap();
    with_job(&first, &job, &out).unwrap();
    let bytes = fs::read(out).unwrap();
    assert_eq!(&bytes[..14], b"12345\0\0\x00070701");
    let text = String::from_utf8_lossy(&bytes);
    let start = text.find('{').unwrap();
    let end = text.rfind('}').unwrap();
    assert_eq!(
        serde_json::from_str::<Job>(&text[start..=end]).unwrap(),
        job
    );
    assert!(text.contains("\0diorama/job.json\0") || text.contains("diorama/job.json\0"));
}

const JOB: &str = r#"{
  "protocol": 1, "cell": "k/ext4/read-4k",
  "device": { "model": { "size_mib": 64, "block_size": 4096, "latency_ns": 10000, "bandwidth_mib_s": null,
    "hw_queue_depth": 64, "submit_queues": 1, "scheduler": "none" } },
  "filesystem": { "kind": "ext4", "mkfs": ["/sbin/mkfs.ext4"], "mount_options": "" },
  "workload": { "engine": "libaio", "rw": "read", "block_size": 4096, "iodepth": 64,
    "rwmixread": 50, "randseed": 1, "numjobs": 1, "fdatasync": 0, "sync": "none",
    "batch": { "submit": 1, "complete_min": 1, "complete_max": 1 },
    "io_uring": { "fixedbufs": false, "registerfiles": false, "hipri": false },
    "file_size": 4096, "layout": "written", "bound": { "ios": 10 } },
  "measure": { "repetitions": 1, "warmup_ios": 0, "phase_step_ns": 0 }
}"#;
