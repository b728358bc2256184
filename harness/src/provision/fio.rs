//! The guest's fio on this side: what it says of a job file, before anything boots.

use super::{FIO, Provision};
use crate::{
    error::{Error, Result},
    image::fio,
    store::{hermetic::Hermetic, tree_key},
    vm::{Given, try_tool},
};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// fio with its loader, its libraries and their stand-ins, as guests have it.
pub struct HostFio {
    program: Hermetic,
}

impl Provision<'_> {
    /// The locked fio, ready to run here.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn fio_here(&self) -> Result<HostFio> {
        let (tree, provided) = self.tool_set(FIO)?;
        let key = tree_key(&provided.entry.files);
        let stand_ins = self.project.declarations.stand_ins(FIO);
        let dir = self.store.derive("fio", &key, |out| {
            for (name, mode, bytes) in fio::collect(&tree, stand_ins)? {
                let name = Path::new(&name).file_name().unwrap_or_default();
                let path = out.join(name);
                fs::write(&path, bytes).map_err(|e| Error::io("writing", &path, e))?;
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                    .map_err(|e| Error::io("making executable", &path, e))?;
            }
            Ok(())
        })?;
        let program = Hermetic {
            tree: dir.clone(),
            loader: Some(dir.join("ld.so")),
            library_path: vec![dir.clone()],
            executable: dir.join("fio"),
            firmware: Vec::new(),
            modules: None,
        };
        Ok(HostFio { program })
    }
}

impl HostFio {
    /// What fio says of a job file that it refuses. It only parses: nothing is opened or started. The job
    /// may be a stranger's, so fio is confined, and has a deadline.
    ///
    /// # Errors
    /// When it cannot be run, or does not end.
    pub fn refuses(&self, jobs: &str) -> Result<Option<String>> {
        let mut command = self.program.command();
        command
            .env_clear()
            .args(["--parse-only", "-"])
            .current_dir(&self.program.tree);
        let given = Given {
            shared_memory: true,
            input: jobs.as_bytes(),
            ..Given::default()
        };
        let output = try_tool(&self.program, command, "fio", given)
            .map_err(|e| e.while_("asking fio about a job file"))?;
        Ok((!output.status.success()).then(|| output.stderr + &output.stdout))
    }
}
