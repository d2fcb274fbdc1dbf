//! The arguments for opening a data set, and the rules by which files are read.

use std::path::Path;

use kiln_space::Settings;

/// The rules by which files become values, classes and splits.
///
/// A network is measured on data that are read by the same rules as its training data. Its model card
/// therefore records the rules. New rules are needed only if the same files and settings would produce other
/// values, classes or splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadingRules {
    /// Images are read as stored: orientation and transparency are ignored, values are converted to 8 bits,
    /// grey follows ITU-R BT.709, and truncated JPEG files are padded with grey. Images are resized in 8
    /// bits. If a class's part of `limit` is not a whole number, it is rounded up. Class names that are
    /// numbers with a fraction are sorted as text.
    First,
    /// Images are read as a viewer shows them. The number of examples that `limit` selects is exact. Numeric
    /// class names are sorted by value.
    Second,
}

impl ReadingRules {
    /// The rules that new studies use.
    pub const CURRENT: Self = Self::Second;

    /// The number by which files name the rules.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::First => 1,
            Self::Second => 2,
        }
    }

    /// Returns the rules with this number. Returns `None` if this build does not know the number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::First),
            2 => Some(Self::Second),
            _ => None,
        }
    }
}

/// Selects the categories of a table column that become separate inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamesFrom {
    /// Categories of the training split. All others share one input.
    #[default]
    Training,
    /// Categories of all examples. This variant is used to measure a trained network, which has its own list
    /// of categories.
    AllExamples,
}

/// A callback for progress. Its arguments are the number of files that were read and the number of all files.
pub type ReadingProgress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// The arguments for opening a data set.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The table `[data]` without its key `kind`.
    pub settings: &'a Settings,
    /// Folder of the files, if given.
    pub folder: Option<&'a Path>,
    /// Rules by which files are read.
    pub rules: ReadingRules,
    /// Selects the categories of a table column that become separate inputs.
    pub names: NamesFrom,
    /// Callback for progress. Readers of a single file need not call it.
    pub progress: ReadingProgress<'a>,
}

impl<'a> Opening<'a> {
    /// The current rules, without a progress callback.
    #[must_use]
    pub fn new(settings: &'a Settings, folder: Option<&'a Path>) -> Self {
        Self {
            settings,
            folder,
            rules: ReadingRules::CURRENT,
            names: NamesFrom::Training,
            progress: &|_, _| (),
        }
    }
}
