//! The pieces of work that a job does, and their results.

use kiln_search::{Fidelity, Finished, Outcome, Trial, TrialId};
use kiln_space::Genotype;
use serde::{Deserialize, Serialize};

/// A piece of work. Its result depends only on the work and on the study, and not on when or where it is
/// done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Work {
    /// Evaluates a network for the search.
    Trial {
        /// The trial for which the network is evaluated. No result depends on it.
        trial: TrialId,
        /// The network.
        genotype: Genotype,
        /// The fidelity of the evaluation.
        fidelity: Fidelity,
        /// Seed of all random numbers.
        seed: u64,
    },
    /// Trains the weights that the networks of the study share. The run folder has the result.
    Supernet {
        /// Hash of everything that the training depends on.
        conditions: String,
    },
    /// Trains a network on its own that corrects the estimates of a supernet.
    Anchor {
        /// The network.
        genotype: Genotype,
        /// Hash of the conditions of its training.
        conditions: String,
    },
    /// Trains a network on its own, to compare a supernet's estimate with it.
    Audit {
        /// The network.
        genotype: Genotype,
        /// Epochs of the training. `None` for those of the config.
        epochs: Option<u32>,
        /// Seed of all random numbers.
        seed: u64,
        /// Fingerprint of the training.
        reference: String,
    },
    /// Trains, tests and exports a network.
    Finish {
        /// The trial whose network is finished.
        trial: Trial,
    },
}

/// The result of a piece of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// The outcome of an evaluation.
    Outcome(Outcome),
    /// The supernet is trained.
    Supernet,
    /// A finished network. Its files are in the folder of the result.
    Finished(Finished),
}

/// What identifies a piece of work in its study.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

/// Number of hexadecimal digits of a key.
const DIGITS: usize = 40;

impl Work {
    /// Returns the key under which the result is stored. `study` stands for everything that results of the
    /// study depend on.
    ///
    /// # Panics
    /// Never, because work is plain data.
    #[must_use]
    pub fn key(&self, study: &str) -> Key {
        let mut same = self.clone();
        if let Self::Trial { trial, .. } = &mut same {
            // Trials with the same genotype and fidelity have the same outcome.
            *trial = 0;
        }
        let work = serde_json::to_vec(&same).expect("work is plain data");
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(study.len() as u64).to_le_bytes()).update(study.as_bytes()).update(&work);
        Key(hasher.finalize().to_hex()[..DIGITS].to_owned())
    }

    /// Whether the study goes on without a result. Otherwise it ends, and the next one tries again.
    pub(crate) const fn may_fail(&self) -> bool {
        match self {
            Self::Trial { .. } | Self::Anchor { .. } | Self::Audit { .. } => true,
            Self::Supernet { .. } | Self::Finish { .. } => false,
        }
    }

    /// Returns the trial that the work belongs to.
    #[must_use]
    pub const fn trial(&self) -> Option<TrialId> {
        match self {
            Self::Trial { trial, .. } => Some(*trial),
            Self::Finish { trial } => Some(trial.id),
            Self::Supernet { .. } | Self::Anchor { .. } | Self::Audit { .. } => None,
        }
    }

    /// Returns a text to display.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Trial { trial, fidelity: Fidelity::Epochs(epochs), .. } => {
                format!("trial {trial}, {epochs} epochs")
            }
            Self::Trial { trial, .. } => format!("trial {trial}"),
            Self::Supernet { .. } => "supernet".to_owned(),
            Self::Anchor { genotype, .. } => format!("anchor {genotype}"),
            Self::Audit { genotype, .. } => format!("audit of {genotype}"),
            Self::Finish { trial } => format!("finishing trial {}", trial.id),
        }
    }
}

impl Key {
    /// The key as text: lower-case hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    /// Files of a run folder may come from anyone, and keys become names of files.
    fn try_from(text: String) -> Result<Self, String> {
        let is_valid =
            text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_valid { Ok(Self(text)) } else { Err(format!("expected {DIGITS} hexadecimal digits")) }
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(trial: TrialId, epochs: u32) -> Work {
        let genotype = Genotype::new([0, 1, 2]);
        Work::Trial { trial, genotype, fidelity: Fidelity::Epochs(epochs), seed: 7 }
    }

    #[test]
    fn key_depends_on_all_but_the_number_of_the_trial() {
        let key = trial(1, 3).key("study");
        assert_eq!(Key::try_from(key.as_str().to_owned()), Ok(key.clone()));
        assert!(Key::try_from(format!("../{}", &key.as_str()[3..])).is_err());
        assert_eq!(key, trial(2, 3).key("study"));
        assert_ne!(key, trial(1, 4).key("study"));
        assert_ne!(key, trial(1, 3).key("other"));
    }

    #[test]
    fn work_is_read_as_it_was_written() {
        let work = trial(5, 2);
        let text = serde_json::to_string(&work).unwrap();
        assert_eq!(serde_json::from_str::<Work>(&text).unwrap(), work);
        assert_eq!(work.label(), "trial 5, 2 epochs");
    }
}
