//! ONNX Runtime, loaded from a library that the user has. Kiln neither contains nor downloads it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use kiln_hw_models::measuring::{LoadedModel, Runtime, RuntimeError};
use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;
use thiserror::Error;

/// How to get the library.
const HOW: &str = "the Python package `onnxruntime` contains it as `capi/libonnxruntime.so.VERSION` (`pip install \
                   onnxruntime`); give its full path with `--library` or in the environment variable ORT_DYLIB_PATH";

/// Why ONNX Runtime cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OnnxRuntimeError {
    /// No path was given.
    #[error("the library of ONNX Runtime 1.{} or newer is needed: {HOW}", ort::MINOR_VERSION)]
    NotGiven,
    /// A relative path would be looked for in places that the user does not expect.
    #[error("`{}` is not a full path; the library of ONNX Runtime is given by its full path", path.display())]
    NotFull {
        /// The path.
        path: PathBuf,
    },
    /// The library is older than the interface that Kiln uses.
    #[error(
        "{}: is ONNX Runtime {found}, expected 1.{} or newer; {HOW}",
        path.display(),
        ort::MINOR_VERSION
    )]
    TooOld {
        /// The library.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// The file is missing, or it is no library of ONNX Runtime.
    #[error("{}: cannot be loaded as ONNX Runtime 1.{} or newer ({source}); {HOW}", path.display(), ort::MINOR_VERSION)]
    Load {
        /// The library.
        path: PathBuf,
        /// Why.
        source: LoadDynamicError,
    },
    /// The library was loaded and does not start.
    #[error("ONNX Runtime does not start ({source})")]
    Start {
        /// Why.
        source: ort::Error,
    },
    /// A model takes something else than one batch of numbers.
    #[error("the network takes {found}, expected one tensor of numbers")]
    Input {
        /// What it takes.
        found: String,
    },
}

/// Runs ONNX files on the CPU of this machine.
pub struct OnnxRuntime {
    environment: Environment,
    version: String,
    batch: usize,
    threads: usize,
}

impl OnnxRuntime {
    /// Loads the library at `library`. A process loads one library only, the first.
    ///
    /// # Errors
    /// [`OnnxRuntimeError`], which says how to get the library.
    pub fn open(library: Option<&Path>, batch: usize, threads: usize) -> Result<Self, OnnxRuntimeError> {
        let path = library.filter(|path| !path.as_os_str().is_empty()).ok_or(OnnxRuntimeError::NotGiven)?;
        let path = path.to_owned();
        if !path.is_absolute() {
            return Err(OnnxRuntimeError::NotFull { path });
        }
        let environment = ort::init_from(&path).map_err(|source| match source {
            LoadDynamicError::BadVersion { version_str: found, path } => {
                OnnxRuntimeError::TooOld { path, found }
            }
            source => OnnxRuntimeError::Load { path: path.clone(), source },
        })?;
        let environment = environment.build().map_err(|source| OnnxRuntimeError::Start { source })?;
        Ok(Self { environment, version: version(&path), batch, threads })
    }

    fn session(&self, model: &Path) -> ort::Result<Session> {
        let builder = Session::builder(&self.environment)?;
        let builder = builder.with_optimization_level(GraphOptimizationLevel::All)?;
        let builder = builder.with_intra_threads(self.threads)?;
        builder.with_inter_threads(1)?.commit_from_file(model)
    }
}

/// The version in the name of the library, which its package gives it. Otherwise what the library says of its
/// build: its interface does not tell the version.
fn version(library: &Path) -> String {
    let name = library.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let digits = name.as_deref().and_then(|name| name.split_once(".so.")).map(|(_, version)| version);
    let is_version = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    digits.filter(is_version).map_or_else(|| ort::info().to_owned(), str::to_owned)
}

impl Runtime for OnnxRuntime {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn format(&self) -> &'static str {
        "onnx"
    }

    fn is_local(&self) -> bool {
        true
    }

    fn load(&self, model: &Path) -> Result<Box<dyn LoadedModel + '_>, RuntimeError> {
        let session = self.session(model).map_err(RuntimeError::network)?;
        let shape = match session.inputs() {
            [input] => input.dtype().tensor_shape(),
            _ => None,
        };
        let Some(shape) = shape else {
            let found = format!("{} inputs", session.inputs().len());
            return Err(RuntimeError::network(OnnxRuntimeError::Input { found }));
        };
        // Only the batch has no fixed size.
        let size = |size: &i64| usize::try_from(*size).unwrap_or(self.batch);
        let shape: Vec<usize> = shape.iter().map(size).collect();
        let values = varied(shape.iter().product());
        let input = Tensor::from_array((shape, values)).map_err(RuntimeError::network)?;
        Ok(Box::new(LoadedSession { session, input }))
    }
}

/// Numbers between -1 and 1 without a pattern that a kernel could use.
fn varied(count: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7919 % 2003) as f32 / 1001.0) - 1.0).collect()
}

struct LoadedSession {
    session: Session,
    input: Tensor<f32>,
}

impl LoadedModel for LoadedSession {
    fn run(&mut self) -> Result<Vec<f64>, RuntimeError> {
        let begin = Instant::now();
        let outputs = self.session.run(ort::inputs![&self.input]).map_err(RuntimeError::network)?;
        let took = begin.elapsed();
        drop(outputs);
        Ok(vec![took.as_secs_f64() * 1e6])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(library: Option<&Path>) -> String {
        OnnxRuntime::open(library, 1, 1).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn missing_library_is_refused_with_how_to_get_it() {
        let needed = "1.17 or newer";
        let none = refused(None);
        assert!(none.contains(needed) && none.contains("pip install onnxruntime"), "{none}");
        let relative = refused(Some(Path::new("libonnxruntime.so")));
        assert!(relative.contains("is not a full path"), "{relative}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        let absent = refused(Some(&path));
        assert!(absent.contains(needed) && absent.contains("--library"), "{absent}");
        std::fs::write(&path, "not a library").unwrap();
        assert!(refused(Some(&path)).contains("cannot be loaded"));
    }

    #[test]
    fn too_old_library_is_named_with_both_versions() {
        let path = PathBuf::from("/opt/libonnxruntime.so");
        let said = OnnxRuntimeError::TooOld { path, found: "1.9.0".to_owned() }.to_string();
        assert!(said.contains("is ONNX Runtime 1.9.0, expected 1.17 or newer"), "{said}");
    }
}
