//! A property of a network that is either fixed or decided by a gene. Spaces are composed of such properties.

use crate::{Choice, Condition, Decision, Options};

/// States when a decision is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity {
    /// In every architecture.
    Always,
    /// While a condition on an earlier decision is true.
    While(Condition),
    /// In no architecture, so no decision is added.
    Never,
}

/// A property and the values that it may take. If there is more than one value, a decision selects one.
///
/// # Example
/// ```
/// use kiln_space::{Activity, Options, Variable};
/// let mut decisions = Vec::new();
/// let depth = Variable::add(&mut decisions, "depth", &Options(vec![1, 2]), Activity::Always);
/// let second = depth.activity(Activity::Always, |depth| depth > 1);
/// let width = Variable::add(&mut decisions, "width1", &Options(vec![16, 32]), second);
/// assert_eq!(decisions.len(), 2);
/// assert_eq!((depth.value(&[1, 1]), width.value(&[1, 1])), (2, 32));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable<T> {
    values: Vec<T>,
    decision: Option<usize>,
}

impl<T: Copy + Into<Choice>> Variable<T> {
    /// Creates a property that may take these options and is active under `activity`. Appends a decision to
    /// `decisions` if there is more than one option and the property can be active.
    #[must_use]
    pub fn add(
        decisions: &mut Vec<Decision>,
        name: impl Into<String>,
        options: &Options<T>,
        activity: Activity,
    ) -> Self {
        let active_if = match activity {
            Activity::Always => None,
            Activity::While(condition) => Some(condition),
            Activity::Never => return Self { values: options.0.clone(), decision: None },
        };
        let decision = (options.0.len() > 1).then(|| {
            let choices = options.0.iter().map(|value| (*value).into()).collect();
            decisions.push(Decision { name: name.into(), options: choices, active_if });
            decisions.len() - 1
        });
        Self { values: options.0.clone(), decision }
    }

    /// Returns the value that these genes select.
    ///
    /// # Panics
    /// When the gene is missing or out of range.
    #[must_use]
    pub fn value(&self, genes: &[u8]) -> T {
        self.values[self.decision.map_or(0, |decision| usize::from(genes[decision]))]
    }

    /// Returns all values, in the order of the options.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Returns the index of the decision, or `None` if the value is fixed.
    #[must_use]
    pub const fn decision(&self) -> Option<usize> {
        self.decision
    }

    /// Returns the activity of a property that depends on this property. The dependent property is active
    /// only while `accepts` returns `true` for this property's value. `own` is this property's own activity.
    #[must_use]
    pub fn activity(&self, own: Activity, accepts: impl Fn(T) -> bool) -> Activity {
        let reachable = if self.decision.is_some() { &self.values[..] } else { &self.values[..1] };
        let any_of: Vec<u8> = (0..reachable.len())
            .filter(|index| accepts(reachable[*index]))
            .map(|index| index as u8)
            .collect();
        match self.decision {
            _ if any_of.is_empty() => Activity::Never,
            Some(decision) if any_of.len() < reachable.len() => {
                Activity::While(Condition { decision, any_of })
            }
            _ => own,
        }
    }
}
