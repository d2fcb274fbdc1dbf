//! A pool beside an engine that refuses to avoid machines.

use kiln_space::Settings;
use serde_json::Map;

use super::*;
use crate::engine::EngineError;
use crate::registry::EngineRegistry;

/// Has only the machines that it shall avoid.
struct Cornered;

impl Engine for Cornered {
    fn submit(&self, launch: &Launch<'_>) -> Result<Handle, EngineError> {
        let refused = || EngineError::Answer("no node is left".to_owned());
        if launch.avoid.is_empty() { Ok(Handle("1".to_owned())) } else { Err(refused()) }
    }

    fn status(&self, _: &Handle) -> Result<JobState, EngineError> {
        Ok(JobState::Waiting)
    }

    fn cancel(&self, _: &Handle) -> Result<(), EngineError> {
        Ok(())
    }

    fn own_handle(&self) -> Option<Handle> {
        None
    }
}

#[test]
fn machines_are_tried_again_when_there_are_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new("engine", Map::new());
    let built = EngineRegistry::builtin().build("local", &settings).unwrap();
    let built = BuiltEngine { engine: Box::new(Cornered), ..built };
    let study = PoolStudy {
        run: folder.path().to_owned(),
        data: None,
        finish: None,
        version: String::new(),
        forgets_attempts: false,
    };
    let pool = Pool::open(built, study, vec!["kiln".into()]).unwrap();
    pool.avoid("n1", None);
    pool.avoid("n1", None);
    assert_eq!(pool.state().blind, ["n1"]);
    let job = pool.start(false, 1).unwrap();
    assert_eq!(job.handle.0, "1");
    assert!(pool.state().blind.is_empty());
}
