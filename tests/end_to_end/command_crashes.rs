//! Kills studies with `kill -9` while programs of the user run. The programs stay alive, as orphans. The
//! resumed study must equal an undisturbed one.

#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use kiln_search::{Event, seed};
use rand::RngExt;

use crate::sandbox::Sandbox;

/// Trains from the epoch in its own folder, for a moment each. Ignores that nobody reads its output. The
/// error depends on the network, the epoch, and what earlier epochs stored.
const SCRIPT: &str = r#"
trap '' PIPE
genotype=$(sed -n 's/^  "genotype": "\(.*\)",$/\1/p' "$1")
echo "$genotype $3" >> starts.txt
from=0; sum=0
[ -f "$2/state" ] && read -r from sum < "$2/state"
while [ "$from" -lt "$3" ]; do
    sleep 0.05
    from=$((from + 1)); sum=$((sum + from * $(wc -c < "$1") % 97))
    echo "$from $sum" > "$2/new" && mv "$2/new" "$2/state"
    echo "{\"epoch\": $from, \"error_percent\": $sum}" 2>/dev/null
done
printf '{"error_percent": %s}' "$sum" > "$4"
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(
        "study = { name = 'scripted', seed = 3 }\n\
         space = { kind = 'mlp', layers = [1, 2], width = [4, 8, 16, 32] }\n\
         [evaluator]\nkind = 'command'\n\
         command = ['sh', 'train.sh', '{architecture}', '{checkpoint}', '{epochs}', '{result}']\n\
         metrics = ['error_percent']\ninput = [3, 1, 1]\noutputs = 2\nepochs = 9\n\
         [search]\nstrategy = 'asha'\ntrials = 24\nin_flight = 2\n",
    );
    fs::write(sandbox.path("train.sh"), SCRIPT).unwrap();
    sandbox
}

/// The networks and efforts whose trials are in the journal, as the script writes them down.
fn known(sandbox: &Sandbox) -> BTreeSet<String> {
    let trial = |event| match event {
        Event::Trial { trial, .. } => {
            let epochs = match trial.proposal.fidelity {
                kiln_search::Fidelity::Epochs(epochs) => epochs,
                _ => 9,
            };
            Some(format!("{} {epochs}", trial.proposal.genotype))
        }
        _ => None,
    };
    sandbox.events("scripted").into_iter().filter_map(trial).collect()
}

fn starts(sandbox: &Sandbox) -> Vec<String> {
    let text = fs::read_to_string(sandbox.path("starts.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn killed_study_continues_its_programs_trainings_and_repeats_no_trial() {
    let undisturbed = sandbox();
    undisturbed.search(&["--workers", "2"]);
    let killed = sandbox();
    let mut rng = seed::generator(21, "moments to kill at", &[]);
    let (mut kills, mut begun) = (0, Vec::new());
    for _ in 0..5 {
        let mut child = killed
            .command(&["search", "study.toml", "--workers", "2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(rng.random_range(150..600)));
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        begun.push((starts(&killed).len(), known(&killed)));
        // An orphan may go on for some time, or end.
        thread::sleep(Duration::from_millis(rng.random_range(0..150)));
    }
    killed.search(&["--workers", "2"]);
    assert!(kills >= 3, "the study ended before it was killed: {kills}");
    assert_eq!(undisturbed.facts("scripted"), killed.facts("scripted"));
    let all = starts(&killed);
    for (from, known) in begun {
        for start in &all[from.min(all.len())..] {
            assert!(!known.contains(start), "`{start}` was in the journal and ran again");
        }
    }
    assert!(!killed.run("scripted").trainings().exists());
}
