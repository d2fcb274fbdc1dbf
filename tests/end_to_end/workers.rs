//! The number of workers changes the duration of a study and no result.

use crate::sandbox::{Sandbox, set, tiny_quickstart};

#[test]
fn number_of_workers_does_not_change_journal() {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "search", "trials", 40.into());
    let sandboxes = [1, 2].map(|_| Sandbox::new(&config.to_string()));
    let reports =
        ["1", "2"].map(|workers| sandboxes[usize::from(workers == "2")].search(&["--workers", workers]));
    assert_eq!(reports[0]["front"], reports[1]["front"]);
    assert_eq!(reports[0]["finished"], reports[1]["finished"]);
    let facts = sandboxes.each_ref().map(|sandbox| sandbox.facts("tiny"));
    assert_eq!(facts[0].len(), facts[1].len());
    for (one, two) in facts[0].iter().zip(&facts[1]) {
        assert_eq!(one, two);
    }
}
